//! The command as scripts use it: arguments in, lines and an exit code out.

mod call;
mod hdfs;
mod local;
mod object_store;
mod unreachable;
mod wrong_use;
