//! XML as S3 servers write it, read with bounds.
//!
//! Text is kept as it was sent: line ends are not normalised, and character references below
//! U+0020, which XML 1.0 forbids and S3 writes all the same, are resolved.

use quick_xml::Reader;
use quick_xml::events::Event;

/// An element with its text and children; attributes and namespaces are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub name: String,
    /// All its text, without that of its children.
    pub text: String,
    pub children: Vec<Element>,
}

const DEPTH_MAX: usize = 16;
const ELEMENTS_MAX: usize = 200_000;

impl Element {
    /// Reads a document. The error says what is wrong with it.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(document).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            if let Event::Start(_) | Event::Empty(_) = event {
                elements += 1;
                if elements > ELEMENTS_MAX || open.len() > DEPTH_MAX {
                    return Err("it has too many elements".to_owned());
                }
            }
            match event {
                Event::Start(start) => open.push(Self::named(start.local_name().into_inner())),
                Event::Empty(start) => {
                    close(&mut open, Self::named(start.local_name().into_inner()))?;
                }
                Event::End(_) => {
                    let element = open.pop().ok_or("an end without a start")?;
                    close(&mut open, element)?;
                }
                Event::Text(text) => append(&mut open, &text),
                Event::CData(text) => append(&mut open, &text),
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character,
                        Ok(None) => named_character(&reference)?,
                        Err(error) => return Err(error.to_string()),
                    };
                    append(&mut open, character.encode_utf8(&mut [0; 4]));
                }
                Event::DocType(_) => return Err("it has a document type".to_owned()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        let outside = open.pop().filter(|_| open.is_empty()).ok_or("it ends too early")?;
        outside.children.into_iter().next().ok_or_else(|| "it has no element".to_owned())
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of that name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// All children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// Appends `text` so that every XML reader gets the same bytes back: also line ends are escaped.
pub(crate) fn append_escaped(target: &mut String, text: &str) {
    use std::fmt::Write as _;
    for character in text.chars() {
        match character {
            '&' => target.push_str("&amp;"),
            '<' => target.push_str("&lt;"),
            '>' => target.push_str("&gt;"),
            '"' => target.push_str("&quot;"),
            '\'' => target.push_str("&apos;"),
            character if character < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(target, "&#{};", u32::from(character));
            }
            character => target.push(character),
        }
    }
}

fn close(open: &mut [Element], element: Element) -> Result<(), String> {
    let parent = open.last_mut().ok_or("an end without a start")?;
    parent.children.push(element);
    Ok(())
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn named_character(name: &str) -> Result<char, String> {
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(format!(
            "it uses the unknown entity {:?}",
            name.chars().take(20).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_kept_as_it_was_sent() {
        let document = "<?xml version=\"1.0\"?>\n<a xmlns=\"urn:x\"><k> x&#13;&#10;&#1;&amp;\r\n\
            <![CDATA[<]]></k><n:k xmlns:n=\"u\"/></a>";
        let element = Element::parse(document.as_bytes()).unwrap();
        assert_eq!(element.text_of("k"), Some(" x\r\n\u{1}&\r\n<"));
        assert_eq!(element.all("k").count(), 2);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "<a>".repeat(100);
        let entity = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        for document in ["", " ", "<a", "<a>", "<a></b>", "</a>", "<a>&b;</a>", entity, &deep] {
            assert!(Element::parse(document.as_bytes()).is_err(), "{document}");
        }
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Element::parse(&bytes);
        }

        #[test]
        fn nearly_xml_is_read_without_panic(text in "[<>/&;#x0-9a \"'!\\[\\]CDAT?-]{0,80}") {
            let _ = Element::parse(text.as_bytes());
        }

        #[test]
        fn escaped_text_comes_back(text in "\\PC*[\u{1}-\u{1f}&<>]?\\PC*") {
            let mut document = "<a>".to_owned();
            append_escaped(&mut document, &text);
            document.push_str("</a>");
            prop_assert_eq!(Element::parse(document.as_bytes()).unwrap().text, text);
        }
    }
}
