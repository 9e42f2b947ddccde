//! drawbridge-behaviour.
