//! Tables over the whole catalogue and all events: a new one without a row fails.

mod authorization;
mod budgets;
mod malformed;
mod world;
