//! Lines that come over the control socket.

use whimbrel_engine::Request;

/// A request that is understood is written as one that means the same.
pub fn request(bytes: &[u8]) {
    let Ok(request) = serde_json::from_slice::<Request>(bytes) else { return };
    let Ok(written) = serde_json::to_vec(&request) else { unreachable!("it came as JSON") };
    assert_eq!(serde_json::from_slice::<Request>(&written).ok(), Some(request));
}
