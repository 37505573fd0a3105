//! Names that systems get wrong.

/// Names relative to a root, each of which stands alone: none is an ancestor of another.
pub fn hostile_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "plain",
        "empty-segment/a//b",
        "empty-segments///c",
        "dot/./a",
        "dot-dot/../a",
        "./leading-dot",
        "../leading-dot-dot",
        "/leading-slash",
        "control/\u{1}",
        "control/a\u{1f}b",
        "control/\u{7f}",
        "percent/%",
        "percent/%41",
        "percent/A",
        "percent/%2F",
        "percent/a%20b",
        "percent/a b",
        "percent/a+b",
        "percent/%zz",
        "spaces/ leading",
        "spaces/trailing ",
        "spaces/ ",
        " leading-component/a",
        "trailing-component /a",
        "lines/a\nb",
        "lines/a\rb",
        "lines/a\r\nb",
        "lines/\n",
        "lines/a\tb",
        "quotes/'",
        "quotes/\"",
        "quotes/`",
        "markup/&<>",
        "markup/&amp;",
        "markup/]]>",
        "back\\slash",
        "back/sla\\sh",
        "question?mark=1&x",
        "hash/#",
        "hash/name#1",
        "star/*",
        "colon/a:b",
        "pipe/a|b",
        "brackets/[a]{b}^~",
        "semicolon;a",
        "comma,a",
        "equals=a",
        "at@a",
        "dollar$a",
        "case/readme",
        "case/README",
        "letters/\u{e9}",
        "letters/e\u{301}",
        "letters/\u{212b}",
        "letters/\u{c5}",
        "letters/ﬁ",
        "letters/日本語",
        "letters/\u{1f600}",
        "letters/\u{1f468}\u{200d}\u{1f469}",
        "letters/\u{202e}right-to-left",
        "letters/\u{feff}mark",
        "letters/\u{ffff}",
        "letters/\u{10ffff}",
        "dots/...",
        "dots/.hidden",
        "dots/trailing.",
        "device/CON",
        "device/nul.txt",
        "tilde~",
        "-dash",
        "--option",
        "order/a.b",
        "order/a-b",
        "order/a0",
        "a.tmp",
        "a~",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push([b"segment/", "n".repeat(255).as_bytes()].concat());
    names.push([b"segment/", "n".repeat(256).as_bytes()].concat());
    names.push([b"segment/", "\u{e9}".repeat(127).as_bytes()].concat());
    names.push(long(1024));
    names.push(long(1025));
    names.push(long(5000));
    names.push(b"not-utf-8/\xff\xfe".to_vec());
    names.push(b"not-utf-8/\xc3".to_vec());
    names.push(b"zero/a\0b".to_vec());
    names
}

/// A name of exactly so many bytes whose components are short. Different lengths differ in the
/// first component, so that none is an ancestor of another.
fn long(bytes: usize) -> Vec<u8> {
    let mut name = format!("long-{bytes}/").into_bytes();
    while name.len() < bytes {
        let left = bytes - name.len();
        if left > 101 {
            name.extend_from_slice("x".repeat(99).as_bytes());
            name.push(b'/');
        } else {
            name.extend_from_slice("y".repeat(left).as_bytes());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_independence() {
        for bytes in [1024, 1025, 5000] {
            assert_eq!(long(bytes).len(), bytes);
        }
        let names = hostile_names();
        for name in &names {
            let below = [name.as_slice(), b"/"].concat();
            assert!(!names.iter().any(|other| other.starts_with(&below)), "{name:?}");
        }
    }
}
