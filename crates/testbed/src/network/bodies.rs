//! Where the bodies of HTTP requests are, in what passes on a connection.

/// Follows one connection from its first byte.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// What has come of a head.
    head: Vec<u8>,
    /// Bytes that are left of a body.
    left: usize,
    /// It speaks something else than HTTP.
    is_foreign: bool,
}

impl Bodies {
    /// Reads on; gives the middle of the first body in these bytes.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut middle = None;
        let mut position = 0;
        while position < bytes.len() && !self.is_foreign {
            if self.left > 0 {
                let here = self.left.min(bytes.len() - position);
                middle = middle.or(Some(position + here / 2));
                self.left -= here;
                position += here;
                continue;
            }
            let byte = bytes[position];
            // A head begins with its method.
            self.is_foreign = self.head.is_empty() && !byte.is_ascii_uppercase();
            self.head.push(byte);
            position += 1;
            if self.head.ends_with(b"\r\n\r\n") {
                self.left = content_length(&self.head);
                self.head.clear();
            }
        }
        middle
    }
}

fn content_length(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head);
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let field = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    field.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Bodies;

    #[test]
    fn bodies_are_found_however_they_are_cut() {
        let text = b"PUT /a HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcdeGET / HTTP/1.1\r\n\r\n\
            POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz";
        let begin = |body: &[u8]| text.windows(body.len()).position(|part| part == body).unwrap();
        assert_eq!(Bodies::default().follow(text), Some(begin(b"abcde") + 2));
        let mut bodies = Bodies::default();
        let found = text.chunks(1).map(|byte| bodies.follow(byte).map(|_| byte[0]));
        assert_eq!(found.flatten().collect::<Vec<_>>(), b"abcdexyz");
        assert_eq!(Bodies::default().follow(b"hrpc\r\n\r\n"), None);
    }
}
