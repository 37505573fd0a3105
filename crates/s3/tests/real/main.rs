//! The client against real S3 servers, and against networks that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod copies;
mod keys;
mod multipart;
mod network;
mod objects;
mod scripted;
mod servers;
mod time_limits;
