//! What the test run shares with other tools of the project: its files, a copy of them, and the
//! bugs that are planted in the copy.

pub mod copy;
pub mod failure;
pub mod plant;
pub mod tree;
