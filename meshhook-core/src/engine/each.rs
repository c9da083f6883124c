//! Items: a delivery that carries several events, of which each is a run.
//!
//! Some senders collect events and send them as one request. With `each`, such a delivery is not one run, but one for each
//! item of the array that `each.items` gives.
//!
//! ```text
//!   … body ─► filter ─► items ─► ids ─► who has a key ─► schema ─► rate, load ─► commit, as one ─► answer
//!            ignored   400, 413  400, 409       409           422     429, 503                           202
//! ```
//!
//! The checks are those of a delivery that is one run, in the same order, and until the commit nothing is started: either
//! all items are in order, or none of them is taken. The filter, `body_schema` and the rate limit are about the whole request,
//! which takes one token: a limit protects the intake, and a request that needed more tokens than the bucket has would
//! be refused for ever. The workflow's `input_schema` is about each item, which is its run's input.
//!
//! # Keys
//!
//! | the item has | key | what tells a repetition from a collision |
//! | --- | --- | --- |
//! | an `each.id` that is not null | the id, of its own kind | the item's canonical text |
//! | none, but the delivery has a key | that key and the item's place, of a kind of its own | the request's body, as of every delivery |
//! | neither | none | |
//!
//! So a batch that is sent again starts nothing twice, and with ids not even where the sender collects the events anew. Two
//! items of one request with the same id and text are one run; with another text, the request is refused.
//!
//! All keys are looked up before anything is started, with one question to the store: a key that came with something else
//! refuses the whole request, and a batch of repetitions only is answered as that, whatever has become of schema and load.
//! A request without items repeats nothing: schema and rate are asked. It is answered as accepted and recorded as filtered,
//! with what was sent: the mistake may be in `each.items`, and whoever mends that wants to try again.
//! The commit judges the keys once more. When another request has taken one in between, with the same text, the item is
//! its duplicate; with another text, the request is refused and its *other* items are runs all the same: wherever they
//! come again, they are found. The delivery's row says so, as it does wherever some of a refused request's items are runs.
//!
//! # Commit
//!
//! The runs are made durable in one transaction, as far as their histories fit one; those of a workflow that makes much of
//! little are made part by part. A `202` comes after the last of them. Whoever gets none, because the process died between two
//! parts or the store did not answer, sends the batch again: its keys find the runs that exist, and the others are started.
//!
//! A replay finds also the runs of items without keys. The ids of a request's runs are made from a seed, the item's place and
//! its text, and the seed is noted with the delivery that is refused, or whose sender went away: what the same item at the
//! same place would have started is looked for under the id that its run would have.
//!
//! An item is in memory once, as its run's input; the request's body is dropped before the first run is made. Headers and query
//! stand in each run, so a request with many items may not have much of them: else a little that is sent would become a
//! thousand times as much that is stored.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::EngineError;
use super::hook::{LiveHook, Read};
use super::intake::{Started, Torn};
use super::long_work::text_len;
use super::receive::{ItemRun, Received, Start};
use super::recorder::OfItems;
use super::refusal::{BODY_SCHEMA, HookRefusal, INPUT_SCHEMA, engine_refusal};
use crate::definition::Each;
use crate::id::RunId;
use crate::json;
use crate::store::Dedupe;
use crate::webhook::RawRequest;

/// An item of a delivery.
#[derive(Debug)]
pub(super) struct Item {
    value: Value,
    dedupe: Option<Dedupe>,
    /// Whether its key is an id of its own.
    is_named: bool,
    /// The place of an earlier item of the same delivery that it repeats.
    repeats: Option<usize>,
}

impl Item {
    /// What is said when its key is a run's that was started with something else.
    fn reused(&self, item: usize, run: RunId) -> HookRefusal {
        match self.is_named {
            true => HookRefusal::ItemReused { item, run },
            false => HookRefusal::KeyReused { run },
        }
    }

    /// The id of its run, in a request with this seed: in the order of places, up to the 16,384th.
    fn run_of(&self, seed: RunId, place: usize) -> RunId {
        let text = match &self.dedupe {
            Some(dedupe) if self.is_named => dedupe.fingerprint,
            _ => Sha256::digest(json::to_canonical_string(&self.value)).into(),
        };
        let wide = u64::try_from(place).unwrap_or(u64::MAX);
        let hash = Sha256::new().chain_update(seed.as_bytes()).chain_update(wide.to_be_bytes());
        let hash = hash.chain_update(text).finalize();
        let mut random = [0; 8];
        random.copy_from_slice(&hash[..8]);
        RunId::made_together(seed.created_at(), u16::try_from(place).unwrap_or(u16::MAX), random)
    }
}

impl LiveHook {
    /// What a request carries. `key` is what repetitions of the request have in common.
    pub(super) fn items(
        &self,
        each: &Each,
        read: &Read,
        key: Option<&str>,
        request: &RawRequest<'_>,
    ) -> Result<Vec<Item>, HookRefusal> {
        let env = self.env();
        let values = match each.items.evaluate(&read.root(), &env) {
            Ok(Value::Array(values)) => values,
            Ok(other) => {
                let found = json::type_name(&other);
                return Err(HookRefusal::Malformed(format!("each.items gives {found}, not an array")));
            }
            Err(error) if error.is_limit() => {
                return Err(HookRefusal::TooLarge(format!("the items cannot be computed: {error}")));
            }
            Err(error) => {
                return Err(HookRefusal::Malformed(format!("the items cannot be computed: {error}")));
            }
        };
        if values.len() > each.max_items {
            let (count, most) = (values.len(), each.max_items);
            let message = format!("the request has {count} items; this hook takes at most {most}");
            return Err(HookRefusal::TooLarge(message));
        }
        let head_bytes = text_len(&read.headers) + text_len(&read.query);
        if head_bytes * values.len() > MAX_HEADS_BYTES {
            let message =
                format!("the request has {} items, too many for headers and query so long", values.len());
            return Err(HookRefusal::TooLarge(message));
        }
        let ids = match &each.id {
            None => vec![Value::Null; values.len()],
            Some(id) => {
                let places: Vec<Value> = (0..values.len()).map(Value::from).collect();
                let roots = values.iter().zip(&places).map(|(item, index)| read.root_of_item(item, index));
                id.evaluate_all(roots, &env).map_err(|(place, error)| {
                    HookRefusal::Malformed(format!("the id of item {place} cannot be computed: {error}"))
                })?
            }
        };
        let whole = key.map(|key| (key, self.trigger().1.verify.fingerprint(request, &read.body)));
        let mut items: Vec<Item> = Vec::with_capacity(values.len());
        let mut first = BTreeMap::new();
        for ((value, id), place) in values.into_iter().zip(ids).zip(0..) {
            let is_named = !id.is_null();
            let dedupe = match (id, whole) {
                (Value::Null, None) => None,
                (Value::Null, Some((key, fingerprint))) => {
                    Some(self.dedupe("place", format!("{key}#{place}"), fingerprint))
                }
                (id, _) => {
                    let key = match id {
                        Value::String(id) => id,
                        id => json::to_canonical_string(&id),
                    };
                    let fingerprint = Sha256::digest(json::to_canonical_string(&value)).into();
                    Some(self.dedupe("item", key, fingerprint))
                }
            };
            let mut repeats = None;
            if let Some(Dedupe { scope, key, fingerprint, .. }) = &dedupe {
                let known = *first.entry((scope.clone(), key.clone())).or_insert(place);
                if known < place {
                    let earlier = items[known].dedupe.as_ref();
                    if earlier.is_none_or(|earlier| earlier.fingerprint != *fingerprint) {
                        return Err(HookRefusal::ItemsDiffer { earlier: known, item: place });
                    }
                    repeats = Some(known);
                }
            }
            items.push(Item { value, dedupe, is_named, repeats });
        }
        Ok(items)
    }

    /// What does not please the hook's schema of the whole body.
    fn body_violation(&self, read: &Read) -> Option<HookRefusal> {
        HookRefusal::by_schema((BODY_SCHEMA, self.trigger().1.body_schema.as_ref()), &read.body, None)
    }

    /// What in an item does not please the schema of the workflow's input.
    fn item_violation(&self, place: usize, item: &Item) -> Option<HookRefusal> {
        HookRefusal::by_schema((INPUT_SCHEMA, self.definition.input_schema()), &item.value, Some(place))
    }

    /// What does not please the schemas, when nothing is a repetition.
    pub(super) fn violation_of_items(&self, read: &Read, items: &[Item]) -> Option<HookRefusal> {
        let item = || items.iter().enumerate().find_map(|(place, item)| self.item_violation(place, item));
        self.body_violation(read).or_else(item)
    }

    /// Starts a run for each item that was read, unless there is one for its key.
    pub(super) async fn start_each(
        &self,
        each: &Each,
        read: Read,
        request: &RawRequest<'_>,
        start: Start,
    ) -> Result<Received, HookRefusal> {
        let items = self.items(each, &read, start.key.as_deref(), request)?;
        let body_violation = self.body_violation(&read);
        let bucket = if start.replay_of.is_none() { self.rate(&read) } else { Ok(None) };
        // Whoever needs the body as a whole has seen it.
        let (head, _) = self.run_trigger(read, &start);
        let mut runs = self.earlier_runs(&items).await?;
        if let Some(seed) = start.earlier_seed {
            self.find_by_seed(seed, &items, &mut runs).await?;
        }
        let new: Vec<usize> =
            (0..items.len()).filter(|&at| runs[at].is_none() && items[at].repeats.is_none()).collect();
        // A request without items repeats nothing.
        if items.is_empty() || !new.is_empty() {
            let item = || new.iter().find_map(|&at| self.item_violation(at, &items[at]));
            if let Some(violation) = body_violation.or_else(item) {
                return Err(violation);
            }
            if let Some((key, bucket)) = bucket?
                && let Some(wait) = self.inner.admitter.admit(&self.project, key, bucket).await?
            {
                return Err(HookRefusal::RateLimited { wait });
            }
        }
        let (created_at, random) = self.inner.origin()?;
        let seed = RunId::new(created_at, random);
        let ids: Vec<RunId> = new.iter().map(|&at| items[at].run_of(seed, at)).collect();
        let _ = start.prospect.seed.set(seed);
        let about: Vec<(bool, Option<usize>)> =
            items.iter().map(|item| (item.is_named, item.repeats)).collect();
        let head_bytes: usize = head.values().map(text_len).sum();
        let mut wanted = new.iter().copied().zip(ids).peekable();
        let news = items.into_iter().enumerate().filter_map(|(place, item)| {
            let (_, run) = wanted.next_if(|(wanted, _)| *wanted == place)?;
            let bytes = head_bytes + text_len(&item.value);
            let mut trigger = head.clone();
            trigger.insert("item".to_owned(), place.into());
            trigger.insert("body".to_owned(), item.value);
            Some((run, self.new_run(trigger, bytes, item.dedupe)))
        });
        let (started, torn) = match self.inner.commit_runs(created_at, news).await {
            Ok(started) => (started.into_iter().enumerate().collect(), None),
            Err(Torn { at, error, done }) => (done, Some((new[at], error))),
        };
        let is_some_new = started.iter().any(|(_, started): &(usize, Started)| !started.duplicate);
        for (at, started) in started {
            runs[new[at]] = Some(ItemRun { run: started.run, duplicate: started.duplicate });
        }
        if let Some((item, error)) = torn {
            if is_some_new {
                let _ = start.prospect.runs.set(OfItems::new(runs.iter().flatten()));
            }
            return Err(match error {
                EngineError::KeyReused { run } if about[item].0 => HookRefusal::ItemReused { item, run },
                error => engine_refusal(error),
            });
        }
        for (place, (_, repeats)) in about.into_iter().enumerate() {
            if let Some(first) = repeats {
                runs[place] = runs[first].map(|first| ItemRun { duplicate: true, ..first });
            }
        }
        Ok(Received::Items(runs.into_iter().flatten().collect()))
    }

    /// The runs that the items have already.
    async fn earlier_runs(&self, items: &[Item]) -> Result<Vec<Option<ItemRun>>, HookRefusal> {
        let mut runs: Vec<Option<ItemRun>> = vec![None; items.len()];
        let keyed = items.iter().enumerate().filter(|(_, item)| item.repeats.is_none());
        let (places, wanted): (Vec<usize>, Vec<&Dedupe>) =
            keyed.filter_map(|(place, item)| Some((place, item.dedupe.as_ref()?))).unzip();
        if wanted.is_empty() {
            return Ok(runs);
        }
        let found = self.inner.store.find_keys(&self.project, &wanted).await.map_err(EngineError::from)?;
        for ((holder, dedupe), place) in found.into_iter().zip(wanted).zip(places) {
            let Some(holder) = holder else { continue };
            if holder.fingerprint != dedupe.fingerprint {
                return Err(items[place].reused(place, holder.run));
            }
            runs[place] = Some(ItemRun { run: holder.run, duplicate: true });
        }
        Ok(runs)
    }

    /// Finds the runs that the items have where they were committed, and nobody was told.
    async fn find_by_seed(
        &self,
        seed: RunId,
        items: &[Item],
        runs: &mut [Option<ItemRun>],
    ) -> Result<(), HookRefusal> {
        for ((place, item), found) in items.iter().enumerate().zip(runs) {
            if found.is_some() || item.repeats.is_some() {
                continue;
            }
            let run = item.run_of(seed, place);
            if self.inner.store.run_record(&self.project, run).await.map_err(EngineError::from)?.is_some() {
                *found = Some(ItemRun { run, duplicate: true });
            }
        }
        Ok(())
    }
}

/// What is said of a request whose `each.items` gave an empty array.
pub(super) const NO_ITEMS: &str = "the request has no items";
/// How many bytes of headers and query the runs of one request may have together.
const MAX_HEADS_BYTES: usize = 16 << 20;
