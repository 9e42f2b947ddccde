# The installed hub is killed with SIGKILL three times; systemd has it back.
start_empty_house
write_hub_config
check hub_is_up start_hub
for round in 1 2 3; do
    hub=$(hub_line)
    check "hub_is_back_after_kill_$round" kill_hub
    value "back_ms_$round" "$back_ms"
    check "hub_reaches_the_broker_after_kill_$round" until_ok 60 hub_said_after "$hub" broker_up
done
