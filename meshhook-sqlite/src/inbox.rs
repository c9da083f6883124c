//! Messages for runs.

use async_trait::async_trait;
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, RunId, WorkerId};
use meshhook_core::store::{
    Inbox, InboxId, InboxItem, Listing, MAX_MESSAGES_READ, Message, Post, Posted, StoreError,
};
use meshhook_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::row::{count, execute, first, listing, parsed, parsed_or_null, run_id, status, unreadable};
use crate::{SqliteStore, sql};

fn leave(connection: &Connection, post: &Post, text: &str, now: Timestamp) -> rusqlite::Result<Posted> {
    let (project, run) = (post.project.as_str(), post.run.as_bytes());
    let is_retry = matches!(post.message, Message::Retry { .. });
    let place = first(connection, sql!("run_place"), params![project, run], |row| {
        Ok((parsed_or_null::<WorkerId>(row, 0)?, row.get::<_, bool>(1)?, status(row, 2)?))
    })?;
    let posted = match place {
        None => return Ok(Posted::NotFound),
        Some((Some(worker), ..)) => Posted::Held { worker },
        Some((None, true, status)) if !is_retry || status != RunStatus::Failed => return Ok(Posted::Ended),
        Some((None, ..)) => Posted::Due,
    };
    let waiting = first(connection, sql!("inbox_count"), params![project, run], |row| count(row, 0))?;
    if waiting.unwrap_or(0) >= post.message.room() as u64 {
        return Ok(Posted::Full);
    }
    if posted == Posted::Due {
        execute(connection, sql!("run_wake"), params![project, run, now.as_micros()])?;
    }
    execute(connection, sql!("inbox_insert"), params![project, run, is_retry, text])?;
    Ok(posted)
}

/// A message, and how long its text is.
fn item(row: &Row<'_>) -> rusqlite::Result<(InboxItem, usize)> {
    let text: String = row.get(3)?;
    let message = Message::from_text(&text).ok_or_else(|| unreadable(3, Type::Text, "not a message"))?;
    let item = InboxItem::new(InboxId(row.get(0)?), parsed(row, 1)?, run_id(row, 2)?, message);
    Ok((item, text.len()))
}

#[async_trait]
impl Inbox for SqliteStore {
    async fn post(&self, posts: Vec<Post>) -> Result<Vec<Posted>, StoreError> {
        let texts = posts.iter().map(Post::checked_text).collect::<Result<Vec<_>, _>>()?;
        self.write(move |connection, now| {
            posts.iter().zip(&texts).map(|(post, text)| leave(connection, post, text, now)).collect()
        })
        .await
    }

    async fn messages_for(
        &self,
        project: &ProjectId,
        run: RunId,
        after: Option<InboxId>,
    ) -> Result<Listing<InboxItem>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            let after = after.map_or(i64::MIN, |after| after.0);
            let params = params![project.as_str(), run.as_bytes(), after];
            let read =
                listing(connection, sql!("inbox_of_run"), params, MAX_MESSAGES_READ, item, |item| item.1)?;
            Ok(read.map(|(item, _)| item))
        })
        .await
    }

    async fn messages_waiting(
        &self,
        project: &ProjectId,
        run: RunId,
    ) -> Result<Option<(InboxId, InboxId)>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            let params = params![project.as_str(), run.as_bytes()];
            let ends = first(connection, sql!("inbox_ends"), params, |row| {
                Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
            })?;
            Ok(ends.flatten().map(|(first, last)| (InboxId(first), InboxId(last))))
        })
        .await
    }
}
