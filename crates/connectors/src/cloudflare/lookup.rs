//! Looking things up by name, with the answers kept for a while: namespaces, zones, metadata.
//!
//! Nothing is kept on disk. A namespace can be deleted and its title given to another one, and a
//! title kept from yesterday could aim today's deletion at the wrong one. Within one process, five
//! minutes old at most and forgotten when we change something ourselves, an answer is no older than
//! the command that uses it.

use super::api::{Api, Listed, Namespace, Reply, Zone, ZoneQuery};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use windlass_engine::job::Context;
use windlass_engine::remote::{Answer, Remote};
use windlass_engine::{Failure, Kind, Moment};

/// How long an answer is good.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// How many answers are kept at most.
const ENTRIES_MAX: usize = 10_000;
/// How many bytes they have at most: 50 MB.
const BYTES_MAX: u64 = 50_000_000;
/// No answer counts for less, so that both bounds are one.
const ENTRY_BYTES_MIN: u64 = BYTES_MAX / ENTRIES_MAX as u64;
/// An account has at most 1,000 namespaces, and 10,000 pages of 50 zones are beyond every account.
const PAGES_MAX: u32 = 10_000;
/// How many names are shown of those nearest to one that is unknown.
const NEAREST: usize = 3;
/// How alike a name must be, from 0 to 1, to be shown as near.
const ALIKE: f64 = 0.6;

/// The numbers of the operations at the remote that the requests are.
#[derive(Clone, Copy, Debug)]
pub struct Operations {
    /// Listing namespaces.
    pub namespaces: usize,
    /// Listing zones.
    pub zones: usize,
    /// Reading the metadata of a key.
    pub metadata: usize,
}

/// Looks things up at a remote.
#[derive(Debug)]
pub struct Lookup {
    api: Arc<Api>,
    remote: Arc<Remote>,
    operations: Operations,
    cache: Option<Mutex<Answers>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    Namespaces,
    Zones { account: Option<String> },
    Metadata { namespace: String, key: String },
}

#[derive(Clone, Debug)]
enum Known {
    Namespaces(Arc<[Namespace]>),
    Zones(Arc<[Zone]>),
    Metadata(Option<Arc<RawValue>>),
}

#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    at: Moment,
}

type Answers = Cache<Question, Entry, Size>;

/// How much an answer counts for.
#[derive(Clone, Debug)]
struct Size;

impl Weighter<Question, Entry> for Size {
    fn weight(&self, question: &Question, entry: &Entry) -> u64 {
        let question = match question {
            Question::Namespaces => 0,
            Question::Zones { account } => account.as_ref().map_or(0, String::len),
            Question::Metadata { namespace, key } => namespace.len() + key.len(),
        };
        let known = match &entry.known {
            Known::Namespaces(all) => {
                let texts = all.iter().map(|one| one.id.len() + one.title.len());
                size_of_val(&**all) + texts.sum::<usize>()
            }
            Known::Zones(all) => {
                let texts = all.iter().map(|one| one.id.len() + one.name.len());
                size_of_val(&**all) + texts.sum::<usize>()
            }
            Known::Metadata(json) => json.as_ref().map_or(0, |json| json.get().len()),
        };
        ((question + known + size_of::<(Question, Entry)>()) as u64).max(ENTRY_BYTES_MIN)
    }
}

impl Lookup {
    /// Looks things up through `api`; `cached` says whether answers are kept.
    #[must_use]
    pub fn new(api: Arc<Api>, remote: Arc<Remote>, operations: Operations, cached: bool) -> Self {
        let cache = cached.then(|| Mutex::new(Cache::with_weighter(ENTRIES_MAX, BYTES_MAX, Size)));
        Self { api, remote, operations, cache }
    }

    /// All namespaces of the account, by their titles.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn namespaces(&self, context: &Context) -> Result<Arc<[Namespace]>, Failure> {
        if let Some(Known::Namespaces(all)) = self.known(&Question::Namespaces, context) {
            return Ok(all);
        }
        let operation = self.operations.namespaces;
        let all = collect(
            |namespace: &Namespace| &namespace.id,
            |page| {
                self.remote.call(context, operation, false, move |attempt| {
                    self.api.namespaces(page, attempt)
                })
            },
        );
        let all: Arc<[Namespace]> = all.await?.into();
        self.keep(Question::Namespaces, Known::Namespaces(Arc::clone(&all)), context);
        Ok(all)
    }

    /// All zones that the credentials can see, or those of one account: every page of them.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn zones(
        &self,
        context: &Context,
        account: Option<&str>,
    ) -> Result<Arc<[Zone]>, Failure> {
        let question = Question::Zones { account: account.map(str::to_owned) };
        if let Some(Known::Zones(all)) = self.known(&question, context) {
            return Ok(all);
        }
        let operation = self.operations.zones;
        let ask = |page, attempt| async move {
            let wanted = ZoneQuery { name: None, account, page };
            self.api.zones(&wanted, attempt).await
        };
        let all = collect(
            |zone: &Zone| &zone.id,
            |page| self.remote.call(context, operation, false, move |attempt| ask(page, attempt)),
        );
        let all: Arc<[Zone]> = all.await?.into();
        self.keep(question, Known::Zones(Arc::clone(&all)), context);
        Ok(all)
    }

    /// The metadata of a key; `None` where it has none. A list of keys has them as well.
    ///
    /// # Errors
    /// [`Kind::Absent`] where there is no such key, or when it can't be asked for.
    pub async fn metadata(
        &self,
        context: &Context,
        namespace: &str,
        key: &str,
    ) -> Result<Option<Arc<RawValue>>, Failure> {
        let question = Question::Metadata { namespace: namespace.to_owned(), key: key.to_owned() };
        if let Some(Known::Metadata(known)) = self.known(&question, context) {
            return Ok(known);
        }
        let ask = |attempt| self.api.metadata(namespace, key, attempt);
        let answer = self.remote.call(context, self.operations.metadata, false, ask).await?;
        let metadata: Option<Arc<RawValue>> = answer.value.value.map(Into::into);
        self.keep(question, Known::Metadata(metadata.clone()), context);
        Ok(metadata)
    }

    /// The id of the namespace that a text means: 32 small hex digits, also with the dashes of a
    /// UUID, are an id and nothing is asked; anything else is an exact title.
    ///
    /// # Errors
    /// [`Kind::Rejected`] when no namespace or more than one has that title, and as
    /// [`Lookup::namespaces`].
    pub async fn resolve_namespace(
        &self,
        context: &Context,
        text: &str,
    ) -> Result<String, Failure> {
        if let Some(id) = id_of(text) {
            return Ok(id);
        }
        let all = self.namespaces(context).await?;
        let named = all.iter().map(|one| (one.title.as_str(), one.id.as_str()));
        the_one(named, text, "namespace", "`windlass kv namespaces`")
    }

    /// The id of the zone that a text means: an id as of a namespace, or its domain, whatever the
    /// case.
    ///
    /// # Errors
    /// [`Kind::Rejected`] when no zone or more than one has that name, and as [`Lookup::zones`].
    pub async fn resolve_zone(&self, context: &Context, text: &str) -> Result<String, Failure> {
        if let Some(id) = id_of(text) {
            return Ok(id);
        }
        let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let all = self.zones(context, None).await?;
        let named = all.iter().map(|one| (one.name.as_str(), one.id.as_str()));
        the_one(named, &name, "zone", "`windlass zones list`")
    }

    /// Forgets all namespaces: one was created, renamed or deleted.
    pub fn forget_namespaces(&self) {
        self.forget(|question| *question == Question::Namespaces);
    }

    /// Forgets what is known of the keys of a namespace: many of them were written or deleted.
    pub fn forget_namespace(&self, id: &str) {
        self.forget(
            |question| matches!(question, Question::Metadata { namespace, .. } if namespace == id),
        );
    }

    /// Forgets what is known of a key: it was written or deleted.
    pub fn forget_key(&self, id: &str, name: &str) {
        if let Some(mut answers) = self.answers() {
            let (namespace, key) = (id.to_owned(), name.to_owned());
            answers.remove(&Question::Metadata { namespace, key });
        }
    }

    fn forget(&self, what: impl Fn(&Question) -> bool) {
        if let Some(mut answers) = self.answers() {
            answers.retain(|question, _| !what(question));
        }
    }

    fn answers(&self) -> Option<MutexGuard<'_, Answers>> {
        let cache = self.cache.as_ref()?;
        Some(cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self, question: &Question, context: &Context) -> Option<Known> {
        let mut answers = self.answers()?;
        let entry = answers.get(question)?;
        if context.clock.now().saturating_since(entry.at) < KEPT {
            return Some(entry.known.clone());
        }
        answers.remove(question);
        None
    }

    fn keep(&self, question: Question, known: Known, context: &Context) {
        if let Some(mut answers) = self.answers() {
            answers.insert(question, Entry { known, at: context.clock.now() });
        }
    }
}

/// All pages of a list. A page past the end is empty; where a count is told it spares that
/// request; and a server that does not page gives the same page again.
async fn collect<T, F>(
    id: impl Fn(&T) -> &String,
    mut ask: impl FnMut(u32) -> F,
) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<Answer<Reply<Listed<T>>>, Failure>>,
{
    let mut all = Vec::new();
    let mut known = HashSet::new();
    for page in 1..=PAGES_MAX {
        let Listed { items, total } = ask(page).await?.value.value;
        let before = all.len();
        all.extend(items.into_iter().filter(|item| known.insert(id(item).clone())));
        if all.len() == before || total.is_some_and(|total| all.len() as u64 >= total) {
            return Ok(all);
        }
    }
    let what = format!("the list goes round in circles: there are over {PAGES_MAX} pages");
    Err(Failure::new(Kind::Malformed, what))
}

/// The id that a text is: 32 small hex digits, or these with dashes as in a UUID.
fn id_of(text: &str) -> Option<String> {
    let is_hex =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let plain = match text.len() {
        32 => text.to_owned(),
        36 => {
            let lengths = text.split('-').map(str::len);
            if !lengths.eq([8, 4, 4, 4, 12]) {
                return None;
            }
            text.replace('-', "")
        }
        _ => return None,
    };
    is_hex(&plain).then_some(plain)
}

/// The id of the only thing of this name.
fn the_one<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    name: &str,
    what: &str,
    shown_by: &str,
) -> Result<String, Failure> {
    let all: Vec<(&str, &str)> = all.collect();
    let found: Vec<&str> = all.iter().filter(|(one, _)| *one == name).map(|(_, id)| *id).collect();
    let rejected =
        |message: String, hint: String| Err(Failure::new(Kind::Rejected, message).with_hint(hint));
    match found.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => {
            let near = nearest(all.iter().map(|(one, _)| *one), name);
            let hint = match near.as_slice() {
                [] => format!("{shown_by} shows those there are"),
                near => format!("there is {}; {shown_by} shows all", near.join(", ")),
            };
            rejected(format!("there is no {what} `{name}`"), hint)
        }
        ids => {
            let message = format!("there are {} {what}s `{name}`", ids.len());
            rejected(message, format!("name one by its id: {}", ids.join(", ")))
        }
    }
}

/// The names most like this one, the nearest first, in quotes.
fn nearest<'a>(all: impl Iterator<Item = &'a str>, name: &str) -> Vec<String> {
    let name = name.to_lowercase();
    let mut alike: Vec<(f64, &str)> = all
        .map(|one| (strsim::normalized_damerau_levenshtein(&one.to_lowercase(), &name), one))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    alike.truncate(NEAREST);
    alike.into_iter().map(|(_, one)| format!("`{one}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudflare::api::tests::{Scripted, patientless, respond, scripted, success};
    use bytes::Bytes;
    use http::{Request, Response};

    const OPERATIONS: Operations = Operations { namespaces: 0, zones: 1, metadata: 2 };

    type Ask = fn(&Request<Bytes>) -> Response<Bytes>;

    fn lookup(answer: Ask, cached: bool) -> (Arc<Scripted<Ask>>, Lookup, Context) {
        let (sim, api) = scripted(answer);
        let (remote, context) = patientless();
        (sim, Lookup::new(api, remote, OPERATIONS, cached), context)
    }

    fn page_of(request: &Request<Bytes>) -> u32 {
        let query = request.uri().query().unwrap();
        let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")).unwrap();
        page.parse().unwrap()
    }

    /// Three pages of two namespaces, then empty ones, with no count.
    fn three_pages(request: &Request<Bytes>) -> Response<Bytes> {
        let page = page_of(request);
        let one = |n: u32| format!(r#"{{"id":"id{n}","title":"Title {n}"}}"#);
        match page {
            1..=3 => success(&format!("[{},{}]", one(page * 2 - 1), one(page * 2))),
            _ => success("[]"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_taken_without_a_request() {
        let (sim, lookup, context) = lookup(|_| respond(500, &[], ""), true);
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(lookup.resolve_namespace(&context, id).await.unwrap(), id);
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(lookup.resolve_namespace(&context, uuid).await.unwrap(), id);
        assert_eq!(lookup.resolve_zone(&context, id).await.unwrap(), id);
        assert!(sim.asked().is_empty());
        for title in ["0123456789ABCDEF0123456789abcdef", "0123456-789ab-cdef-0123-456789abcdef"] {
            assert_eq!(id_of(title), None, "{title}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_title_is_looked_for_on_every_page() {
        let (sim, lookup, context) = lookup(three_pages, true);
        assert_eq!(lookup.resolve_namespace(&context, "Title 6").await.unwrap(), "id6");
        assert_eq!(sim.asked().len(), 4, "three pages and the empty one");
        assert_eq!(lookup.resolve_namespace(&context, "Title 1").await.unwrap(), "id1");
        assert_eq!(sim.asked().len(), 4, "the second time from memory");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_title_is_an_error_with_the_nearest_ones() {
        let (_, lookup, context) = lookup(three_pages, true);
        let failure = lookup.resolve_namespace(&context, "title 3").await.unwrap_err();
        assert_eq!(
            (failure.kind, &*failure.message),
            (Kind::Rejected, "there is no namespace `title 3`")
        );
        let hint = failure.hint.unwrap();
        assert!(hint.starts_with("there is `Title 3`, `Title 1`, `Title 2`;"), "{hint}");
        let failure = lookup.resolve_namespace(&context, "other").await.unwrap_err();
        assert_eq!(failure.hint.unwrap(), "`windlass kv namespaces` shows those there are");
    }

    #[tokio::test(start_paused = true)]
    async fn d13_zones_are_listed_to_the_last_page() {
        let (sim, lookup, context) = lookup(
            |request| {
                let page = page_of(request);
                let zones: Vec<String> = (0..50)
                    .map(|n| (page - 1) * 50 + n)
                    .filter(|n| *n < 120)
                    .map(|n| format!(r#"{{"id":"z{n}","name":"{n}.example"}}"#))
                    .collect();
                let body = format!(
                    r#"{{"success":true,"result":[{}],"result_info":{{"total_count":120}}}}"#,
                    zones.join(",")
                );
                respond(200, &[], body)
            },
            true,
        );
        assert_eq!(lookup.zones(&context, None).await.unwrap().len(), 120);
        assert_eq!(lookup.resolve_zone(&context, "119.Example.").await.unwrap(), "z119");
        assert_eq!(sim.asked().len(), 3, "the count spares the empty page");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_unique_is_an_error_with_the_ids() {
        let (sim, lookup, context) = lookup(
            // The same page whatever is asked for, as a server does that knows no pages.
            |_| success(r#"[{"id":"z1","name":"a.b"},{"id":"z2","name":"a.b"}]"#),
            true,
        );
        let failure = lookup.resolve_zone(&context, "a.b").await.unwrap_err();
        assert_eq!(failure.message, "there are 2 zones `a.b`");
        assert_eq!(failure.hint.unwrap(), "name one by its id: z1, z2");
        assert_eq!(sim.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_kept_for_five_minutes_and_until_something_changes() {
        let (sim, lookup, context) = lookup(|_| success(r#"{"a":1.0}"#), true);
        let asked = || sim.asked().len();
        let ask = async |key: &str| {
            let metadata = lookup.metadata(&context, "ns", key).await.unwrap().unwrap();
            assert_eq!(metadata.get(), r#"{"a":1.0}"#);
        };
        ask("a").await;
        tokio::time::sleep(Duration::from_secs(299)).await;
        ask("a").await;
        assert_eq!(asked(), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        ask("a").await;
        ask("b").await;
        assert_eq!(asked(), 3);
        lookup.forget_key("ns", "a");
        ask("a").await;
        ask("b").await;
        assert_eq!(asked(), 4);
        lookup.forget_namespace("other");
        lookup.forget_namespaces();
        ask("b").await;
        assert_eq!(asked(), 4);
        lookup.forget_namespace("ns");
        ask("a").await;
        ask("b").await;
        assert_eq!(asked(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_cache_everything_is_asked() {
        let (sim, lookup, context) = lookup(three_pages, false);
        lookup.namespaces(&context).await.unwrap();
        lookup.namespaces(&context).await.unwrap();
        lookup.forget_namespaces();
        assert_eq!(sim.asked().len(), 8);
    }

    #[test]
    fn both_bounds_hold() {
        let cache = || Answers::with_weighter(ENTRIES_MAX, BYTES_MAX, Size);
        let fill = |answers: &mut Answers, count: usize, json: &str| {
            let metadata: Arc<RawValue> = RawValue::from_string(json.to_owned()).unwrap().into();
            for number in 0..count {
                let question =
                    Question::Metadata { namespace: "ns".into(), key: number.to_string() };
                let known = Known::Metadata(Some(Arc::clone(&metadata)));
                answers.insert(question, Entry { known, at: Moment::ZERO });
            }
        };
        let mut many = cache();
        fill(&mut many, 12_000, "1");
        assert!((9_000..=10_000).contains(&many.len()), "{}", many.len());
        let mut large = cache();
        fill(&mut large, 200, &format!("\"{}\"", "x".repeat(1_000_000)));
        assert!((40..=50).contains(&large.len()), "{}", large.len());
    }
}
