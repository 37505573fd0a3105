use super::*;
use crate::error::ErrorKind;
use crate::proto::rpc::RpcResponseHeader;

fn exception(class: &str, message: &str) -> Error {
    let header = RpcResponseHeader {
        call_id: 1,
        status: 1,
        exception_class: Some(class.to_owned()),
        message: Some(message.to_owned()),
    };
    let response = Response { header, body: bytes::Bytes::new() };
    accept(response, "nn:8020", "getFileInfo").unwrap_err()
}

#[test]
fn exceptions_by_class() {
    let cases = [
        ("org.apache.hadoop.ipc.StandbyException", Retry::Elsewhere, ErrorKind::Retry),
        (
            "org.apache.hadoop.ipc.ObserverRetryOnActiveException",
            Retry::Elsewhere,
            ErrorKind::Retry,
        ),
        ("org.apache.hadoop.ipc.RetriableException", Retry::Later, ErrorKind::Retry),
        (
            "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
            Retry::Later,
            ErrorKind::Retry,
        ),
        ("org.apache.hadoop.security.AccessControlException", Retry::Never, ErrorKind::Denied),
        ("java.io.FileNotFoundException", Retry::Never, ErrorKind::NotFound),
        ("org.apache.hadoop.fs.ParentNotDirectoryException", Retry::Never, ErrorKind::NotFound),
        ("org.apache.hadoop.ipc.RpcNoSuchMethodException", Retry::Never, ErrorKind::Unsupported),
        ("org.apache.hadoop.fs.InvalidPathException", Retry::Never, ErrorKind::InvalidInput),
        ("java.io.IOException", Retry::Never, ErrorKind::Retry),
        ("", Retry::Never, ErrorKind::Retry),
    ];
    for (class, expected, kind) in cases {
        let error = exception(class, "first line\n\tat java");
        assert_eq!((retry(&error), error.kind()), (expected, kind), "{class}");
        assert!(!error.to_string().contains("at java"), "{error}");
    }
    let error = exception(
        "org.apache.hadoop.security.AccessControlException",
        "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]",
    );
    assert!(matches!(error, Error::Kerberos { .. }));
}

#[test]
fn a_path_below_a_file_is_absent_and_not_denied() {
    let class = "org.apache.hadoop.security.AccessControlException";
    let error = exception(class, "/data/d/f (is not a directory)");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let denied = "Permission denied: user=bob, access=EXECUTE, \
        inode=\"/d (is not a directory)\":hdfs:supergroup:drwx------";
    assert_eq!(exception(class, denied).kind(), ErrorKind::Denied);
}

#[test]
fn epochs_rise_once_per_change() {
    let node = |port| crate::configuration::NamenodeAddress {
        id: String::new(),
        host: "h".to_owned(),
        port,
        http_address: None,
    };
    let cluster = Cluster { name: "c".to_owned(), namenodes: vec![node(1), node(2)] };
    let caller = Caller::new(bytes::Bytes::new(), None, "root".to_owned());
    let namenodes = Namenodes::new(cluster, caller);
    let first = *namenodes.current();
    // Two calls fail at the same time: one fail-over.
    namenodes.leave(first);
    namenodes.leave(first);
    assert_eq!(namenodes.position(), (2, 1));
    namenodes.renew(first);
    assert_eq!(namenodes.position(), (2, 1));
    let second = *namenodes.current();
    namenodes.renew(second);
    assert_eq!(namenodes.position(), (3, 1));
    let third = *namenodes.current();
    namenodes.leave(third);
    assert_eq!(namenodes.position(), (4, 0));
}
