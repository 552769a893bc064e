//! What a right migration of the generated documents is, by looking at the sources alone.

use super::{Scene, at, text};
use mongodb::bson::{Bson, DateTime, Document, doc};
use std::collections::{BTreeMap, BTreeSet};
use unicode_normalization::UnicodeNormalization as _;
use windlass_connectors::mongo::generate::{Expected, Options as Recipe};

impl Scene {
    /// Each person has one account, each month of a person one submission, each private link one
    /// invitation, all from this run; and the program's own comparison says the same.
    #[track_caller]
    pub fn is_whole(&self, recipe: &Recipe, run: &str) {
        let expected = recipe.expected();
        self.has_everybody_once(&expected, run);
        let sources = self.db.all("responses");
        let links = self.db.all("invitations");
        let tokens: BTreeSet<&str> = links.iter().map(|link| text(link, "token")).collect();
        let expected = expected_invitations(&sources);
        let difference: Vec<&&str> = tokens.symmetric_difference(&expected).collect();
        assert!(difference.is_empty(), "seed {}: {difference:?}", recipe.seed);
        assert_eq!(links.len(), expected.len(), "each private link is there once");
        self.bears_stamps(run);
        let verified = self.verified(run, 0);
        assert!(!verified.out.contains("WRONG"), "{}", verified.out);
    }

    #[track_caller]
    fn has_everybody_once(&self, expected: &Expected, run: &str) {
        let users = self.db.all("users");
        assert_eq!(users.len() as u64, expected.people, "accounts");
        let names = distinct(&users, |user| text(user, "username").to_owned());
        assert_eq!(names, users.len(), "usernames are of one account each");
        let people = distinct(&users, |user| text(user, "_windlass.key").to_owned());
        assert_eq!(people, users.len(), "nobody has two accounts");
        let hashed = users.iter().filter(|user| text(user, "password").starts_with("$2b$04$"));
        assert_eq!(hashed.count(), users.len(), "everybody has a password");
        let submissions = self.db.all("submissions");
        assert_eq!(submissions.len() as u64, expected.person_months, "submissions of {run}");
        let ids: BTreeSet<String> = users.iter().map(|user| user["_id"].to_string()).collect();
        let of = |one: &Document| (one["userId"].to_string(), text(one, "month").to_owned());
        assert!(submissions.iter().all(|one| ids.contains(&of(one).0)), "nobody's submission");
        assert_eq!(distinct(&submissions, of), submissions.len(), "one of each month");
    }

    #[track_caller]
    fn bears_stamps(&self, run: &str) {
        for collection in ["users", "submissions", "invitations"] {
            let all = self.db.count(collection, doc! {});
            assert_eq!(self.db.count(collection, doc! { "_windlass.run": run }), all);
        }
    }
}

/// The tokens of the documents that become invitations: of several with one token the first, and
/// of these the newest of each person and month.
pub fn expected_invitations(sources: &[Document]) -> BTreeSet<&str> {
    let mut taken = BTreeSet::new();
    let mut newest: BTreeMap<(String, &str), (i64, &str)> = BTreeMap::new();
    for source in sources {
        let (Some(person), Some(Bson::String(token))) = (person(source), source.get("token"))
        else {
            continue;
        };
        if !taken.insert(token) {
            continue;
        }
        let found = (created(source), token.as_str());
        let best = newest.entry((person, text(source, "month"))).or_insert(found);
        if found.0 > best.0 {
            *best = found;
        }
    }
    newest.into_values().map(|(_, token)| token).collect()
}

/// Who a document is of: blanks, capitals and the encoding of accents make nobody another person.
fn person(source: &Document) -> Option<String> {
    let Some(Bson::String(name)) = source.get("name") else { return None };
    let name = name.trim();
    (!name.is_empty()).then(|| name.nfkc().collect::<String>().to_lowercase())
}

fn created(source: &Document) -> i64 {
    match at(source, "createdAt") {
        Some(Bson::DateTime(date)) => date.timestamp_millis(),
        Some(Bson::String(text)) => DateTime::parse_rfc3339_str(text).unwrap().timestamp_millis(),
        other => panic!("{other:?}"),
    }
}

fn distinct<T: Ord>(documents: &[Document], of: impl Fn(&Document) -> T) -> usize {
    documents.iter().map(of).collect::<BTreeSet<T>>().len()
}
