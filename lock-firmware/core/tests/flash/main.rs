//! What the lock keeps on flash, against power cuts and damage.

mod damage_is_never_a_fresh_lock;
mod lane;
mod log_survives_power_cuts;
mod model_behaves_like_nor;
mod store_survives_power_cuts;
