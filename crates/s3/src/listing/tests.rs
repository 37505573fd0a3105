//! Pages as different servers write them.

use super::*;
use proptest::prelude::*;

fn parsed(inner: &str) -> std::result::Result<ListPage, String> {
    let document = format!("<ListBucketResult>{inner}</ListBucketResult>");
    page(&Element::parse(document.as_bytes()).unwrap())
}

const OBJECT: &str = "<Contents><Key>a+b%2B%01</Key><Size>7</Size><ETag>&quot;e&quot;</ETag>\
    <LastModified>2026-11-21T18:53:51.000Z</LastModified></Contents>";

#[test]
fn encoded_keys_are_decoded_only_when_the_server_says_so() {
    let encoded = parsed(&format!("<EncodingType>url</EncodingType>{OBJECT}")).unwrap();
    assert_eq!(encoded.objects[0].key.bytes, b"a b+\x01");
    assert_eq!(encoded.objects[0].bytes, 7);
    assert_eq!(encoded.objects[0].etag.as_deref(), Some("\"e\""));
    let since = encoded.objects[0].last_modified.unwrap();
    let seconds = since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds, 1_795_287_231);
    let plain = parsed(OBJECT).unwrap();
    assert_eq!(plain.objects[0].key.bytes, b"a+b%2B%01");
    assert!(!plain.objects[0].key.altered);
}

#[test]
fn a_replaced_character_is_told() {
    let page = parsed("<Contents><Key>a\u{fffd}b</Key><Size>0</Size></Contents>").unwrap();
    assert!(page.objects[0].key.altered);
}

#[test]
fn pages_that_make_no_sense_are_refused() {
    for inner in [
        "<IsTruncated>true</IsTruncated>",
        "<IsTruncated>perhaps</IsTruncated>",
        "<Contents><Size>1</Size></Contents>",
        "<Contents><Key>a</Key></Contents>",
        "<Contents><Key>a</Key><Size>-1</Size></Contents>",
        "<EncodingType>url</EncodingType><Contents><Key>%z</Key><Size>1</Size></Contents>",
    ] {
        assert!(parsed(inner).is_err(), "{inner}");
    }
    assert!(page(&Element::parse(b"<html></html>").unwrap()).is_err());
}

proptest! {
    #[test]
    fn any_page_is_read_without_panic(
        names in proptest::collection::vec("Contents|Key|Size|EncodingType|IsTruncated|Prefix", 0..9),
        text in "[a-z%0-9+\\-]{0,9}",
    ) {
        let open: String = names.iter().map(|name| format!("<{name}>{text}")).collect();
        let close: String = names.iter().rev().map(|name| format!("</{name}>")).collect();
        let _ = parsed(&format!("{open}{close}"));
    }
}
