//! The three calls that it takes to read a NameNode's edit stream.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::message::{
    CONNECTION_HEADER, bytes, frame, number, put_bytes, put_number, take_delimited, zigzag,
};
use crate::TestbedError;

const PROTOCOL: &[u8] = b"org.apache.hadoop.hdfs.protocol.ClientProtocol";
const CLIENT: &[u8] = b"whimbrel-testbed";
const CONTEXT_CALL: i32 = -3;

/// Reads the stream as a superuser, and leaves the replies as they are.
#[derive(Debug)]
pub struct EditsReader {
    stream: TcpStream,
    calls: i32,
}

impl EditsReader {
    /// Connects to `HOST:PORT` of a NameNode without Kerberos.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn open(address: &str, user: &str) -> Result<Self, TestbedError> {
        let told = |error| TestbedError::start(address, error);
        let mut stream = TcpStream::connect(address).map_err(told)?;
        let (mut who, mut context) = (Vec::new(), Vec::new());
        put_bytes(&mut who, 1, user.as_bytes());
        put_bytes(&mut context, 2, &who);
        put_bytes(&mut context, 3, PROTOCOL);
        let mut opening = CONNECTION_HEADER.to_vec();
        opening.extend(frame(&[&call_header(CONTEXT_CALL), &context]));
        stream.write_all(&opening).map_err(told)?;
        Ok(Self { stream, calls: 0 })
    }

    /// The newest transaction that was written.
    ///
    /// # Errors
    /// [`TestbedError::Command`].
    pub fn newest_txid(&mut self) -> Result<u64, TestbedError> {
        let answer = self.call("getCurrentEditLogTxid", &[])?;
        number(&answer, 1).ok_or_else(|| TestbedError::command("the newest transaction", "none"))
    }

    /// The reply about the transactions from `txid` on: `GetEditsFromTxidResponseProto`.
    ///
    /// # Errors
    /// [`TestbedError::Command`].
    pub fn edits_from(&mut self, txid: u64) -> Result<Vec<u8>, TestbedError> {
        let mut request = Vec::new();
        put_number(&mut request, 1, txid);
        self.call("getEditsFromTxid", &request)
    }

    fn call(&mut self, method: &str, request: &[u8]) -> Result<Vec<u8>, TestbedError> {
        let told = |error| TestbedError::command(method, error);
        let mut header = Vec::new();
        put_bytes(&mut header, 1, method.as_bytes());
        put_bytes(&mut header, 2, PROTOCOL);
        put_number(&mut header, 3, 1);
        let call = frame(&[&call_header(self.calls), &header, request]);
        self.calls += 1;
        self.stream.write_all(&call).map_err(told)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(told)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).map_err(told)?;
        let mut rest = &answer[..];
        let header = take_delimited(&mut rest).unwrap_or_default();
        if number(header, 2) != Some(0) {
            let message = String::from_utf8_lossy(bytes(header, 5).unwrap_or_default());
            return Err(TestbedError::command(method, message));
        }
        Ok(take_delimited(&mut rest).unwrap_or_default().to_vec())
    }
}

fn call_header(call: i32) -> Vec<u8> {
    let mut header = Vec::new();
    // Protocol buffers, a whole call.
    put_number(&mut header, 1, 2);
    put_number(&mut header, 2, 0);
    put_number(&mut header, 3, zigzag(call));
    put_bytes(&mut header, 4, CLIENT);
    put_number(&mut header, 5, zigzag(-1));
    header
}
