//! What is answered to which request.

use std::fmt::Write as _;
use std::io::{BufReader, Result, Write};
use std::net::TcpStream;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::State;
use super::http::{Content, Request};
use super::objects::{Object, PageWanted, Wanted, etag};
use super::text::{elements, encode, escape, http_date, listed_date, unescape};

/// An answer; headers end their lines.
struct Answer {
    status: &'static str,
    headers: String,
    body: String,
}

impl Answer {
    fn of(status: &'static str) -> Self {
        Self { status, headers: String::new(), body: String::new() }
    }

    fn document(body: String) -> Self {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
        Self { status: "200 OK", headers: "Content-Type: application/xml\r\n".to_owned(), body }
    }

    fn refusal(status: &'static str, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self { status, ..Self::document(body) }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        // Writing to a text cannot fail.
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    /// What is known of the object, as headers.
    fn describing(self, object: &Object) -> Self {
        self.with("ETag", &object.etag)
            .with("x-amz-checksum-crc32c", &checksum(object.crc32c))
            .with("x-amz-checksum-type", "FULL_OBJECT")
    }
}

/// Reads the body of the request, does what it says and answers it.
pub(super) fn answer(
    request: &Request,
    reader: &mut BufReader<&TcpStream>,
    mut stream: &TcpStream,
    state: &State,
) -> Result<()> {
    let content = request.read_body(reader, stream, request.method == "POST")?;
    let (operation, answer) = respond(request, &content, state);
    *state.requests().entry(operation).or_default() += 1;
    // The length in the answer to HEAD is the object's.
    let length = match request.method.as_str() {
        "HEAD" => String::new(),
        _ => format!("Content-Length: {}\r\n", answer.body.len()),
    };
    let mut text = format!(
        "HTTP/1.1 {}\r\nDate: {}\r\nServer: null-sink\r\n{}{length}\r\n",
        answer.status,
        http_date(SystemTime::now()),
        answer.headers
    );
    if request.method != "HEAD" {
        text.push_str(&answer.body);
    }
    stream.write_all(text.as_bytes())
}

fn respond(request: &Request, content: &Content, state: &State) -> (&'static str, Answer) {
    let has = |name: &str| request.query(name).is_some();
    if request.key.is_empty() {
        return match request.method.as_str() {
            "HEAD" => ("HeadBucket", head_bucket(request, state)),
            "PUT" => ("CreateBucket", create_bucket(request, state)),
            "POST" if has("delete") => ("DeleteObjects", delete_objects(request, content, state)),
            "GET" if has("versioning") => ("GetBucketVersioning", empty("VersioningConfiguration")),
            "GET" if has("location") => ("GetBucketLocation", empty("LocationConstraint")),
            "GET" if has("uploads") => ("ListMultipartUploads", no_uploads()),
            "GET" if request.bucket.is_empty() => ("ListBuckets", empty("ListAllMyBucketsResult")),
            "GET" => ("ListObjects", list(request, state)),
            _ => ("other", Answer::refusal("501 Not Implemented", "NotImplemented")),
        };
    }
    let copied = request.header("x-amz-copy-source");
    match (request.method.as_str(), copied) {
        ("PUT", None) if has("partNumber") => ("UploadPart", upload_part(request, content, state)),
        ("PUT", None) => ("PutObject", put(request, content, state)),
        ("PUT", Some(from)) if !has("partNumber") => ("CopyObject", copy(request, from, state)),
        ("HEAD", _) => ("HeadObject", head(request, state)),
        ("DELETE", _) if has("uploadId") => {
            state.objects().abort_upload(request.query("uploadId").unwrap_or_default());
            ("AbortMultipartUpload", Answer::of("204 No Content"))
        }
        ("DELETE", _) => {
            state.objects().remove(&request.bucket, &request.key);
            ("DeleteObject", Answer::of("204 No Content"))
        }
        ("POST", _) if has("uploads") => ("CreateMultipartUpload", begin_upload(request, state)),
        ("POST", _) => ("CompleteMultipartUpload", end_upload(request, content, state)),
        ("GET", _) if state.objects().find(&request.bucket, &request.key).is_none() => {
            ("GetObject", Answer::refusal("404 Not Found", "NoSuchKey"))
        }
        _ => ("other", Answer::refusal("501 Not Implemented", "NotImplemented")),
    }
}

fn head_bucket(request: &Request, state: &State) -> Answer {
    match state.objects().has_bucket(&request.bucket) {
        true => Answer::of("200 OK").with("x-amz-bucket-region", "us-east-1"),
        false => Answer::of("404 Not Found"),
    }
}

fn create_bucket(request: &Request, state: &State) -> Answer {
    state.objects().create_bucket(&request.bucket);
    Answer::of("200 OK")
}

fn empty(element: &str) -> Answer {
    Answer::document(format!("<{element}/>"))
}

fn no_uploads() -> Answer {
    let body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
        </ListMultipartUploadsResult>";
    Answer::document(body.to_owned())
}

fn put(request: &Request, content: &Content, state: &State) -> Answer {
    if let Some(refusal) = refusal_of(request, content.crc32c) {
        return refusal;
    }
    let object = Object {
        bytes: content.bytes,
        crc32c: content.crc32c,
        etag: etag(content.bytes, content.crc32c),
        metadata: request.metadata(),
        modified: SystemTime::now(),
    };
    let answer = Answer::of("200 OK").describing(&object);
    match state.objects().put(&request.bucket, &request.key, object, &wanted(request)) {
        true => answer,
        false => condition_not_met(),
    }
}

fn copy(request: &Request, from: &str, state: &State) -> Answer {
    let from = super::text::decode(from).unwrap_or_default();
    let (bucket, key) = from.trim_start_matches('/').split_once('/').unwrap_or_default();
    let mut objects = state.objects();
    let Some(mut object) = objects.find(bucket, key).cloned() else {
        return Answer::refusal("404 Not Found", "NoSuchKey");
    };
    let etag = request.header("x-amz-copy-source-if-match");
    if etag.is_some_and(|etag| *etag != *object.etag) {
        return condition_not_met();
    }
    object.modified = SystemTime::now();
    if request.header("x-amz-metadata-directive") == Some("REPLACE") {
        object.metadata = request.metadata();
    }
    let body = result("CopyObjectResult", &object);
    objects.put(&request.bucket, &request.key, object, &Wanted::Anything);
    body
}

fn head(request: &Request, state: &State) -> Answer {
    let objects = state.objects();
    let Some(object) = objects.find(&request.bucket, &request.key) else {
        return Answer::of("404 Not Found");
    };
    let mut answer = Answer::of("200 OK")
        .describing(object)
        .with("Content-Length", &object.bytes.to_string())
        .with("Last-Modified", &http_date(object.modified));
    answer.headers.push_str(&object.metadata);
    answer
}

fn begin_upload(request: &Request, state: &State) -> Answer {
    let metadata = request.metadata();
    let id = state.objects().begin_upload(&request.bucket, &request.key, metadata);
    Answer::document(format!(
        "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key>\
        <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
        escape(&request.bucket),
        escape(&request.key)
    ))
}

fn upload_part(request: &Request, content: &Content, state: &State) -> Answer {
    if let Some(refusal) = refusal_of(request, content.crc32c) {
        return refusal;
    }
    let id = request.query("uploadId").unwrap_or_default();
    let number = request.query("partNumber").and_then(|number| number.parse().ok());
    let Some(number) = number else {
        return Answer::refusal("400 Bad Request", "InvalidArgument");
    };
    match state.objects().add_part(id, number, content.bytes, content.crc32c) {
        true => Answer::of("200 OK")
            .with("ETag", &etag(content.bytes, content.crc32c))
            .with("x-amz-checksum-crc32c", &checksum(content.crc32c)),
        false => Answer::refusal("404 Not Found", "NoSuchUpload"),
    }
}

fn end_upload(request: &Request, content: &Content, state: &State) -> Answer {
    let id = request.query("uploadId").unwrap_or_default();
    let document = String::from_utf8_lossy(&content.kept);
    let numbers = elements(&document, "PartNumber");
    let numbers: std::result::Result<Vec<u32>, _> = numbers.into_iter().map(str::parse).collect();
    let mut objects = state.objects();
    let object = numbers.ok().and_then(|numbers| objects.joined(id, &numbers));
    let Some(object) = object else {
        return Answer::refusal("400 Bad Request", "InvalidPart");
    };
    if let Some(refusal) = refusal_of(request, object.crc32c) {
        return refusal;
    }
    let length = request.header("x-amz-mp-object-size");
    if length.is_some_and(|length| length != object.bytes.to_string()) {
        return Answer::refusal("400 Bad Request", "InvalidRequest");
    }
    let answer = result("CompleteMultipartUploadResult", &object);
    match objects.end_upload(id, object, &wanted(request)) {
        true => answer,
        false => condition_not_met(),
    }
}

fn delete_objects(request: &Request, content: &Content, state: &State) -> Answer {
    let document = String::from_utf8_lossy(&content.kept);
    let mut body = "<DeleteResult>".to_owned();
    let mut objects = state.objects();
    for key in elements(&document, "Key") {
        objects.remove(&request.bucket, &unescape(key));
        let _ = write!(body, "<Deleted><Key>{key}</Key></Deleted>");
    }
    body.push_str("</DeleteResult>");
    Answer::document(body)
}

fn list(request: &Request, state: &State) -> Answer {
    let text = |name: &str| request.query(name).unwrap_or_default();
    let after = ["continuation-token", "start-after", "marker"];
    let after = after.iter().find_map(|name| request.query(name)).unwrap_or_default();
    let keys_max = text("max-keys").parse().unwrap_or(1000).min(1000);
    let delimiter = request.query("delimiter").filter(|delimiter| !delimiter.is_empty());
    let wanted = PageWanted { prefix: text("prefix"), delimiter, after, keys_max };
    let page = state.objects().page(&request.bucket, &wanted);
    let encoded = text("encoding-type") == "url";
    let name = |key: &str| if encoded { encode(key) } else { escape(key) };
    let mut body = format!(
        "<ListBucketResult><Name>{}</Name><Prefix>{}</Prefix><MaxKeys>{keys_max}</MaxKeys>\
        <KeyCount>{}</KeyCount><IsTruncated>{}</IsTruncated>",
        escape(&request.bucket),
        name(wanted.prefix),
        page.objects.len() + page.prefixes.len(),
        page.next.is_some()
    );
    if encoded {
        body.push_str("<EncodingType>url</EncodingType>");
    }
    if let Some(next) = &page.next {
        let token = escape(next);
        let _ = write!(body, "<NextContinuationToken>{token}</NextContinuationToken>");
        let _ = write!(body, "<NextMarker>{}</NextMarker>", name(next));
    }
    for (key, object) in &page.objects {
        let _ = write!(
            body,
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>\
            <StorageClass>STANDARD</StorageClass><ChecksumType>FULL_OBJECT</ChecksumType>\
            </Contents>",
            name(key),
            listed_date(object.modified),
            escape(&object.etag),
            object.bytes
        );
    }
    for prefix in &page.prefixes {
        let _ = write!(body, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", name(prefix));
    }
    body.push_str("</ListBucketResult>");
    Answer::document(body)
}

fn result(element: &str, object: &Object) -> Answer {
    Answer::document(format!(
        "<{element}><ETag>{}</ETag><LastModified>{}</LastModified>\
        <ChecksumCRC32C>{}</ChecksumCRC32C><ChecksumType>FULL_OBJECT</ChecksumType></{element}>",
        escape(&object.etag),
        listed_date(object.modified),
        checksum(object.crc32c)
    ))
}

/// Other bytes came than were announced.
fn refusal_of(request: &Request, crc32c: u32) -> Option<Answer> {
    let announced = request.header("x-amz-checksum-crc32c")?;
    let wrong = announced != checksum(crc32c);
    wrong.then(|| Answer::refusal("400 Bad Request", "BadDigest"))
}

fn condition_not_met() -> Answer {
    Answer::refusal("412 Precondition Failed", "PreconditionFailed")
}

fn wanted(request: &Request) -> Wanted {
    match (request.header("if-none-match"), request.header("if-match")) {
        (Some(_), _) => Wanted::Nothing,
        (None, Some(etag)) => Wanted::Etag(etag.into()),
        (None, None) => Wanted::Anything,
    }
}

fn checksum(crc32c: u32) -> String {
    STANDARD.encode(crc32c.to_be_bytes())
}
