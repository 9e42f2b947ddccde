//! One module per version of the protocol that was released, never changed again.

mod v1;
