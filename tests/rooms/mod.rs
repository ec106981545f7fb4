//! Contract section 2: rooms, their doors and their members.

mod creating;
mod joining;
mod leaving;
mod listing_members;
mod racing;
