//! Names of users and groups, from wherever the machine has them. A lookup may wait for a server.

// Where they are is for NSS to say, whose sources are shared libraries. A static program should not
// load those. Tests try both.
#[cfg(any(feature = "static", target_feature = "crt-static", test))]
#[cfg_attr(test, allow(unreachable_pub))]
mod files;
#[cfg(any(not(any(feature = "static", target_feature = "crt-static")), test))]
#[cfg_attr(test, allow(unreachable_pub))]
mod nss;

#[cfg(any(feature = "static", target_feature = "crt-static"))]
pub use files::{group_name, uid_of, user_name};
#[cfg(not(any(feature = "static", target_feature = "crt-static")))]
pub use nss::{group_name, uid_of, user_name};
