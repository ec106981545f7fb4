//! Organizations: the tenants. Nothing of one is visible in another (contract section 1).

/// The built-in organization `public`, which the first migration makes.
pub const PUBLIC: u64 = 1;
