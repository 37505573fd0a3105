//! The page for people: one file that needs nothing else, and prints well. Whatever comes from
//! outside is text in it, and cannot become anything else.

use serde_json::Value;

use crate::draft::{Draft, Facts};
use crate::key::PublicKey;

/// Nothing is loaded and nothing runs, whatever a name may look like.
const HEAD: &str = "<meta charset=\"utf-8\">\n\
    <meta http-equiv=\"Content-Security-Policy\" \
    content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n";

const STYLE: &str = "\
:root{color-scheme:light}
body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:60rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}
h2{font-size:1.1rem;margin:2rem 0 .5rem;break-after:avoid}
.verdict{font-size:1.15rem;padding:.6rem .9rem;border-left:.4rem solid #1a7f37;background:#eef8f0}
.verdict.bad{border-color:#b42318;background:#fdf0ee}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #d8dee4;
overflow-wrap:anywhere}
td.number{text-align:right;font-variant-numeric:tabular-nums}
thead{display:table-header-group}
tr{break-inside:avoid}
code{font-family:ui-monospace,monospace;font-size:.9em;white-space:pre-wrap}
small{color:#57606a}
@page{margin:18mm 15mm}
@media print{body{margin:0;max-width:none;font-size:10pt}
.verdict{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
";

/// The whole page.
pub(crate) fn page(draft: &Draft, facts: &Facts, key: &PublicKey) -> String {
    let title = text(&facts.title);
    let class = if facts.good { "verdict" } else { "verdict bad" };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n{HEAD}<title>{title}</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n<p class=\"{class}\">{}</p>\n",
        text(&facts.verdict)
    );
    page.push_str(&pairs(&facts.about));
    page.push_str("<h2>Totals</h2>\n");
    page.push_str(&pairs(&facts.totals));
    page.push_str("<h2>What was proven how</h2>\n");
    page.push_str(&methods(draft));
    for limit in &facts.limits {
        page.push_str(&format!("<p><small>{}</small></p>\n", text(limit)));
    }
    page.push_str("<h2>Exceptions</h2>\n");
    page.push_str(&exceptions(draft));
    page.push_str(&format!(
        "<h2>Signature</h2>\n<p>Signed with the Ed25519 key whose SHA-256 is <code>{}</code>. \
         <code>whimbrel report check DIR --key FILE</code> tells whether a byte of this folder was \
         altered since; FILE is the public key as its owner gives it.</p>\n\
         <p><small>In names, control characters and those that change the direction of text are \
         written \\u{{…}}, a backslash \\\\. The tables have them byte for byte.</small></p>\n\
         </html>\n",
        key.fingerprint()
    ));
    page
}

fn pairs(pairs: &[(String, String)]) -> String {
    let rows = pairs.iter().map(|(name, value)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", text(name), text(value))
    });
    format!("<table><tbody>\n{}</tbody></table>\n", rows.collect::<String>())
}

fn methods(draft: &Draft) -> String {
    let rows = draft.ways.iter().map(|((kind, method), count)| {
        format!(
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             </tr>\n",
            text(kind),
            text(&method.replace('_', " ")),
            grouped(count.records),
            grouped(count.bytes)
        )
    });
    format!(
        "<table><thead><tr><th>kind</th><th>method, or what is wrong</th>\
         <th>number</th><th>bytes</th>\
         </tr></thead>\
         <tbody>\n{}</tbody></table>\n",
        rows.collect::<String>()
    )
}

fn exceptions(draft: &Draft) -> String {
    if draft.exceptions_count == 0 {
        return "<p>None.</p>\n".to_owned();
    }
    let of = |record: &Value, name: &str| {
        text(record.get(name).and_then(Value::as_str).unwrap_or_default())
    };
    let rows = draft.shown.iter().map(|record| {
        let encoded = match of(record, "path_base64") {
            none if none.is_empty() => none,
            some => format!("<br><small>not UTF-8; Base64 <code>{some}</code></small>"),
        };
        format!(
            "<tr><td><code>{}</code>{encoded}</td><td>{}</td><td>{}</td></tr>\n",
            of(record, "path"),
            of(record, "kind").replace('_', " "),
            of(record, "message")
        )
    });
    let rows: String = rows.collect();
    let more = draft.exceptions_count - draft.shown.len() as u64;
    let more = match more {
        0 => String::new(),
        more => format!("<p>{} more stand in <code>exceptions.jsonl</code>.</p>\n", grouped(more)),
    };
    format!(
        "<table><thead><tr><th>path</th><th>what</th><th>cause</th></tr></thead><tbody>\n{rows}\
         </tbody></table>\n{more}"
    )
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let (head, rest) = digits.split_at(head);
    let groups = rest.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group));
    let groups: Vec<_> =
        (!head.is_empty()).then(|| head.into()).into_iter().chain(groups).collect();
    groups.join(",")
}

/// As the text of an element, or of an attribute's value. What cannot be seen is made visible.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\\' => safe.push_str("\\\\"),
            _ if letter.is_control() || is_invisible(letter) => {
                safe.push_str(&letter.escape_unicode().to_string());
            }
            _ => safe.push(letter),
        }
    }
    safe
}

/// Marks that change the direction of text, break lines, or take no room.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
    }

    #[test]
    fn hostile_names_are_text_and_visible() {
        for (raw, expected) in [
            ("plain é 日本", "plain é 日本"),
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("\"&amp;", "&quot;&amp;amp;"),
            ("a\nb\u{1b}[2J\0\u{7f}\u{9b}", "a\\u{a}b\\u{1b}[2J\\u{0}\\u{7f}\\u{9b}"),
            ("a\\u{a}", "a\\\\u{a}"),
            ("gpj\u{202e}.exe\u{200b}", "gpj\\u{202e}.exe\\u{200b}"),
        ] {
            assert_eq!(text(raw), expected);
        }
    }
}
