//! Changes of headers.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::HeaderChanges;

impl HeaderChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Changes a request's headers. Returns the new authority if `host` is set; `host` itself never becomes a header.
    pub fn apply_to_request(&self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        self.apply(headers);
        self.set.iter().find(|(name, _)| name == header::HOST).map(|(_, value)| value.clone())
    }

    /// Changes a response's headers.
    pub fn apply_to_response(&self, headers: &mut HeaderMap) {
        self.apply(headers);
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in self.remove.iter().filter(|name| *name != header::HOST) {
            headers.remove(name);
        }
        for (name, value) in first_of_each(&self.set) {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in first_of_each(&self.add) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// Gateway API: of entries with equivalent names only the first counts.
fn first_of_each(entries: &[(HeaderName, HeaderValue)]) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
    let first = |(place, (name, _)): &(usize, &(HeaderName, HeaderValue))| {
        name != header::HOST && !entries[..*place].iter().any(|(earlier, _)| earlier == name)
    };
    entries.iter().enumerate().filter(first).map(|(_, entry)| entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| pair(name, value)).collect()
    }

    #[test]
    fn set_replaces_add_appends_and_remove_removes() {
        let changes = HeaderChanges {
            remove: vec![HeaderName::from_static("x-gone")],
            set: vec![pair("x-set", "new")],
            add: vec![pair("x-add", "new")],
        };
        let mut map = headers(&[("x-gone", "1"), ("x-set", "old"), ("x-add", "old"), ("x-stays", "1")]);
        assert_eq!(changes.apply_to_request(&mut map), None);
        assert_eq!(map.get_all("x-add").iter().collect::<Vec<_>>(), ["old", "new"]);
        assert_eq!(map.get_all("x-set").iter().collect::<Vec<_>>(), ["new"]);
        assert!(!map.contains_key("x-gone") && map.contains_key("x-stays"));
    }

    #[test]
    fn of_a_repeated_name_the_first_counts() {
        let changes = HeaderChanges {
            remove: vec![],
            set: vec![pair("a", "1"), pair("a", "2")],
            add: vec![pair("b", "1"), pair("b", "2")],
        };
        let mut map = HeaderMap::new();
        changes.apply_to_response(&mut map);
        assert_eq!((map.get_all("a").iter().count(), &map["a"]), (1, &HeaderValue::from_static("1")));
        assert_eq!((map.get_all("b").iter().count(), &map["b"]), (1, &HeaderValue::from_static("1")));
    }

    #[test]
    fn host_becomes_the_authority_and_no_header() {
        let changes = HeaderChanges { set: vec![pair("host", "other")], ..HeaderChanges::default() };
        let mut map = headers(&[("host", "old")]);
        assert_eq!(changes.apply_to_request(&mut map), Some(HeaderValue::from_static("other")));
        assert_eq!(map["host"], "old");
    }
}
