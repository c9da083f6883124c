//! Messages for runs.

use async_trait::async_trait;
use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::store::{
    Inbox, InboxId, InboxItem, Listing, MAX_LISTING_BYTES, MAX_MESSAGES_READ, Message, Post, Posted,
    StoreError,
};
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::{Effect, unreadable};
use crate::row::{int, uuid};
use crate::session::{Lane, get};
use crate::{PgStore, sql};

fn posted(row: &PgRow) -> Result<Vec<Posted>, Error> {
    let outcomes: Vec<i16> = get(row, "outcome")?;
    let owners: Vec<Option<String>> = get(row, "owner")?;
    let answer = |(outcome, owner): (i16, Option<String>)| match (outcome, owner) {
        (0, Some(owner)) => {
            owner.parse().map(|worker| Posted::Held { worker }).map_err(|error| unreadable("owner", error))
        }
        (1, _) => Ok(Posted::Due),
        (2, _) => Ok(Posted::NotFound),
        (3, _) => Ok(Posted::Ended),
        (4, _) => Ok(Posted::Full),
        _ => Err(unreadable("outcome", "an unknown outcome")),
    };
    outcomes.into_iter().zip(owners).map(answer).collect()
}

#[async_trait]
impl Inbox for PgStore {
    async fn post(&self, posts: Vec<Post>) -> Result<Vec<Posted>, StoreError> {
        let texts = posts.iter().map(Post::checked_text).collect::<Result<Vec<_>, _>>()?;
        if posts.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let projects: Vec<String> = posts.iter().map(|post| post.project.to_string()).collect();
        let runs: Vec<Uuid> = posts.iter().map(|post| uuid(post.run)).collect();
        let retries: Vec<bool> =
            posts.iter().map(|post| matches!(post.message, Message::Retry { .. })).collect();
        let room = |post: &Post| Some(post.message.room()).filter(|room| *room < usize::MAX).map(int);
        let rooms: Vec<Option<i64>> = posts.iter().map(room).collect();
        self.engine(Lane::Other, Effect::Writes, move |session| {
            let query = sqlx::query(sql!("post"))
                .bind(now)
                .bind(projects.clone())
                .bind(runs.clone())
                .bind(retries.clone())
                .bind(texts.clone())
                .bind(rooms.clone());
            Box::pin(async move { posted(&session.one(query).await?) })
        })
        .await
    }

    async fn messages_for(
        &self,
        project: &ProjectId,
        run: RunId,
        after: Option<InboxId>,
    ) -> Result<Listing<InboxItem>, StoreError> {
        let of = project.clone();
        self.look(project, move |session| {
            let of = of.clone();
            let query = sqlx::query(sql!("inbox_of_run"))
                .bind(of.to_string())
                .bind(uuid(run))
                .bind(after.map_or(i64::MIN, |after| after.0))
                .bind(int(MAX_MESSAGES_READ + 1))
                .bind(int(MAX_LISTING_BYTES));
            Box::pin(async move {
                // Whoever claims a run asks this, and each look of a worker tells what waits.
                session.believe();
                let rows = session.all(query).await?;
                let item = |row: &PgRow| {
                    let text: &str = get(row, "message")?;
                    let message =
                        Message::from_text(text).ok_or_else(|| unreadable("message", "not a message"))?;
                    Ok((InboxItem::new(InboxId(get(row, "id")?), of.clone(), run, message), text.len()))
                };
                let part = Listing::gather(rows.iter().map(item), MAX_MESSAGES_READ, |(_, bytes)| *bytes);
                part.map(|part: Listing<(InboxItem, usize)>| part.map(|(item, _)| item))
            })
        })
        .await
    }

    async fn messages_waiting(
        &self,
        project: &ProjectId,
        run: RunId,
    ) -> Result<Option<(InboxId, InboxId)>, StoreError> {
        let of = project.clone();
        self.look(project, move |session| {
            let query = sqlx::query(sql!("inbox_ends")).bind(of.to_string()).bind(uuid(run));
            Box::pin(async move {
                let row = session.one(query).await?;
                let (first, last): (Option<i64>, Option<i64>) = (get(&row, "first")?, get(&row, "last")?);
                Ok(first.zip(last).map(|(first, last)| (InboxId(first), InboxId(last))))
            })
        })
        .await
    }
}
