//! The NameNode's edit stream: recorded as it comes over the wire, and told again at any rate.

mod message;
mod reader;
mod recording;
mod server;
mod stream;

pub use reader::EditsReader;
pub use recording::Recording;
pub use server::{EditsServer, Told};
pub use stream::{CYCLE, Rate};
