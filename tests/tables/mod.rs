//! Tables with a row for every function and every client event. A new function or event fails here until each table
//! has a row for it:
//!
//! - `world`: a request or a frame that Ann, who has every right, may send;
//! - `authorization`: what others get for the same request or frame;
//! - `budgets`: how many statements it takes;
//! - `counting`: toward which rate limits it counts;
//! - `reads`: how many rows the database server reads for a list, a page of history or a sync;
//! - `ended_sessions`: that it writes nothing once its session has ended;
//! - `malformed`: invalid requests and frames, with the fields that are reported. These rows are not checked for
//!   completeness.

mod authorization;
mod budgets;
mod counting;
mod ended_sessions;
mod malformed;
mod reads;
mod world;
