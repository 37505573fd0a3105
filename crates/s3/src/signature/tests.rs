//! The examples that AWS publishes for S3 (bucket `examplebucket`, 24 May 2013).

use super::*;
use proptest::prelude::*;

const MOMENT: Moment = Moment(1_369_353_600);

fn identity() -> Identity {
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    Identity::new("AKIAIOSFODNN7EXAMPLE".to_owned(), secret.into(), None)
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|&(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect()
}

fn authorization(
    method: http::Method,
    path: &str,
    query: Vec<(&str, &str)>,
    mut lines: HeaderMap,
) -> String {
    lines.insert("host", HeaderValue::from_static("examplebucket.s3.amazonaws.com"));
    let request = Unsigned { method: &method, path, query, headers: &mut lines };
    let scope = Scope { moment: MOMENT, region: "us-east-1" };
    sign_header(request, &identity(), &scope).unwrap();
    lines["authorization"].to_str().unwrap().to_owned()
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn example_get_object() {
    let lines = headers(&[("range", "bytes=0-9"), ("x-amz-content-sha256", EMPTY)]);
    assert_eq!(
        authorization(http::Method::GET, "/test.txt", vec![], lines),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

#[test]
fn example_put_object() {
    let lines = headers(&[
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        (
            "x-amz-content-sha256",
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        ),
    ]);
    let text = authorization(http::Method::PUT, "/test%24file.text", vec![], lines);
    let expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn example_list_objects() {
    let query = vec![("prefix", "J"), ("max-keys", "2")];
    let lines = headers(&[("x-amz-content-sha256", EMPTY)]);
    let text = authorization(http::Method::GET, "/", query, lines);
    let expected = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn example_lifecycle_has_a_query_without_value() {
    let lines = headers(&[("x-amz-content-sha256", EMPTY)]);
    let text = authorization(http::Method::GET, "/", vec![("lifecycle", "")], lines);
    let expected = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn example_presigned_get() {
    let mut lines = headers(&[("host", "examplebucket.s3.amazonaws.com")]);
    let method = http::Method::GET;
    let request =
        Unsigned { method: &method, path: "/test.txt", query: vec![], headers: &mut lines };
    let scope = Scope { moment: MOMENT, region: "us-east-1" };
    let query = sign_query(request, &identity(), &scope, Duration::from_secs(86_400));
    assert_eq!(
        query,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
}

#[test]
fn values_are_trimmed_and_inner_spaces_collapse() {
    let lines = headers(&[("b", "  a   b  c "), ("a", "")]);
    assert_eq!(canonical_headers(&lines), ("a;b".to_owned(), "a:\nb:a b c\n".to_owned()));
}

#[test]
fn identity_shows_no_secret() {
    let token = Some(SecretString::from("TOKEN-CANARY"));
    let identity = Identity::new("id".to_owned(), "SECRET-CANARY".into(), token);
    assert!(!format!("{identity:?}").contains("CANARY"));
}

proptest! {
    #[test]
    fn dates_agree_with_another_calendar(second in 0_i64..4_102_444_800) {
        let other = jiff::Timestamp::from_second(second).unwrap();
        let expected = other.strftime("%Y%m%dT%H%M%SZ").to_string();
        prop_assert_eq!(Moment(second).date_time(), expected);
    }
}
