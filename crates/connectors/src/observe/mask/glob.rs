//! Owns patterns with `*` in them: for names of keys, where a dot parts the levels, and for the
//! values that policies compare with. A `*` stands for any run of characters, dots included.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    ignore_case: bool,
}

impl Glob {
    /// A pattern; `ignore_case` is about ASCII letters only.
    #[must_use]
    pub fn new(text: &str, ignore_case: bool) -> Self {
        Self { text: text.into(), ignore_case }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it fits the whole of a value. The time is at most the product of both lengths.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        let (pattern, value) = (self.text.as_bytes(), value.as_bytes());
        let (mut at, mut place) = (0, 0);
        // Where to go on when the last `*` has to take one more byte.
        let mut star: Option<(usize, usize)> = None;
        while place < value.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at + 1, place));
                at += 1;
            } else if at < pattern.len() && self.same(pattern[at], value[place]) {
                at += 1;
                place += 1;
            } else if let Some((after, taken)) = star {
                at = after;
                place = taken + 1;
                star = Some((after, place));
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|&byte| byte == b'*')
    }

    fn same(&self, one: u8, other: u8) -> bool {
        one == other || self.ignore_case && one.eq_ignore_ascii_case(&other)
    }
}

/// Names of keys, whatever their case: a name stands for the key at any depth and for everything
/// below it, a name with dots or a `*` for the whole path. A leading `*.` may stand for nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    words: Vec<String>,
    globs: Vec<Glob>,
}

impl Keys {
    pub(super) fn new(names: &[String]) -> Self {
        let mut keys = Self::default();
        for name in names {
            if name.contains(['*', '.']) {
                keys.globs.push(Glob::new(name, true));
                if let Some(rest) = name.strip_prefix("*.") {
                    keys.globs.push(Glob::new(rest, true));
                }
            } else {
                keys.words.push(name.clone());
            }
        }
        keys
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.globs.is_empty()
    }

    /// Whether a path or what it is below of is meant. `new` is where the part of the path begins
    /// that has not been asked about yet.
    pub(super) fn have(&self, path: &str, new: usize) -> bool {
        let mut start = new;
        while start <= path.len() {
            let end = path[start..].find('.').map_or(path.len(), |length| start + length);
            let word = &path[start..end];
            if self.words.iter().any(|known| known.eq_ignore_ascii_case(word))
                || self.globs.iter().any(|glob| glob.fits(&path[..end]) || glob.fits(word))
            {
                return true;
            }
            start = end + 1;
        }
        false
    }

    /// Whether a text that can't be taken apart may have one of the names in it.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let last = |glob: &Glob| glob.text().rsplit('.').next().unwrap_or_default().to_owned();
        let words = self.words.iter().cloned().chain(self.globs.iter().map(last));
        words.into_iter().any(|word| {
            let lower = word.to_ascii_lowercase();
            lower.split('*').all(|piece| text.contains(piece))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_run() {
        let fits = |pattern: &str, value: &str| Glob::new(pattern, false).fits(value);
        for (pattern, value) in [
            ("gpt-4*", "gpt-4o"),
            ("gpt-4*", "gpt-4"),
            ("*", ""),
            ("*", "anything"),
            ("*mini*", "gpt-4o-mini"),
            ("a*b*c", "a--b-b--c"),
            ("", ""),
            ("**x", "x"),
        ] {
            assert!(fits(pattern, value), "{pattern} {value}");
        }
        for (pattern, value) in
            [("gpt-4*", "gpt-3"), ("o3", "o3-mini"), ("a*b", "a*bc"), ("", "x"), ("A", "a")]
        {
            assert!(!fits(pattern, value), "{pattern} {value}");
        }
        assert!(Glob::new("GPT-4*", true).fits("gpt-4O"));
    }

    #[test]
    fn keys_are_meant_at_any_depth_and_with_all_below() {
        let keys = |name: &str| Keys::new(&[name.to_owned()]);
        assert!(keys("password").have("user.Password", 0));
        assert!(keys("password").have("password", 0));
        assert!(keys("password").have("password.old", 0));
        assert!(!keys("password").have("password_hint", 0));
        assert!(!keys("password").have("password.old", 9));
        assert!(keys("*.authorization").have("http.headers.Authorization", 0));
        assert!(keys("*.authorization").have("authorization", 0));
        assert!(keys("http.*.token").have("http.header.token.x", 0));
        assert!(!keys("http.*.token").have("grpc.header.token", 0));
        assert!(keys("*token*").have("a.access_tokens", 0));
        assert!(keys("*.x-token").may_be_in("{\"X-Token\": \"trunc"));
        assert!(!keys("password").may_be_in("nothing"));
    }

    proptest! {
        #[test]
        fn a_glob_is_the_same_as_its_regular_expression(
            pattern in "[ab*]{0,8}", value in "[ab]{0,12}",
        ) {
            let regex = format!("^{}$", pattern.replace('*', ".*"));
            let expected = regex::Regex::new(&regex).unwrap().is_match(&value);
            prop_assert_eq!(Glob::new(&pattern, false).fits(&value), expected);
        }
    }
}
