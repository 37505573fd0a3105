//! Authentication: the first frames of a connection.
//!
//! The client proposes to negotiate, the server names the methods it accepts. A cluster without
//! Kerberos answers SUCCESS at once (or offers SIMPLE). A secured one offers TOKEN and KERBEROS:
//! this is where their challenges and responses will be exchanged; until then it is refused by
//! name, before anything else is said.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::frame;
use crate::error::Error;
use crate::proto::rpc::{RPC_STATUS_SUCCESS, RpcSasl, SaslAuth, sasl_state};

const METHOD_SIMPLE: &str = "SIMPLE";

/// What the client does after the server's answer to its proposal.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// The server wants no proof.
    Done,
    /// The server offers to go on without proof; it does not acknowledge this choice.
    Choose(SaslAuth),
    /// The server wants a proof; the methods that it names.
    Refuse(String),
}

/// Agrees on a method with the server.
///
/// # Errors
/// [`Error::Kerberos`] when the server accepts nothing but Kerberos and tokens.
pub(crate) async fn negotiate(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    address: &str,
) -> Result<(), Error> {
    let told = |error: std::io::Error| Error::connection(address, error);
    let proposal = RpcSasl { state: sasl_state::NEGOTIATE, token: None, auths: Vec::new() };
    stream.write_all(&frame::sasl(&proposal)).await.map_err(told)?;
    let Some(answer) = frame::read(stream, address).await? else {
        return Err(Error::connection(address, "closed during authentication"));
    };
    match step(answer, address)? {
        Step::Done => Ok(()),
        Step::Choose(auth) => {
            let choice = RpcSasl { state: sasl_state::INITIATE, token: None, auths: vec![auth] };
            stream.write_all(&frame::sasl(&choice)).await.map_err(told)
        }
        Step::Refuse(methods) => Err(Error::Kerberos { server: address.to_owned(), methods }),
    }
}

pub(crate) fn step(answer: bytes::Bytes, address: &str) -> Result<Step, Error> {
    let mut response = frame::response(answer, address)?;
    if response.header.status != RPC_STATUS_SUCCESS {
        let message = response.header.message.unwrap_or_default();
        // "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]"
        if message.contains("KERBEROS") || message.contains("TOKEN") {
            return Ok(Step::Refuse(message));
        }
        return Err(Error::connection(address, format!("authentication: {message}")));
    }
    if response.header.call_id as i32 != frame::SASL_CALL_ID {
        return Err(Error::invalid_reply(address, "no answer to the authentication"));
    }
    let message: RpcSasl = frame::take_delimited(&mut response.body, address)?;
    match message.state {
        sasl_state::SUCCESS => Ok(Step::Done),
        sasl_state::NEGOTIATE => {
            let methods: Vec<_> = message.auths.iter().map(|auth| auth.method.clone()).collect();
            let simple = message.auths.into_iter().find(|auth| auth.method == METHOD_SIMPLE);
            Ok(simple.map_or_else(|| Step::Refuse(methods.join(", ")), Step::Choose))
        }
        state => Err(Error::invalid_reply(address, format!("SASL state {state}"))),
    }
}

#[cfg(test)]
mod tests;
