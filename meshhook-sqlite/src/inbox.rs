//! Messages for runs.

use async_trait::async_trait;
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, RunId, WorkerId};
use meshhook_core::store::{Inbox, InboxId, InboxItem, Message, Post, Posted, StoreError};
use meshhook_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::row::{all, execute, first, parsed, parsed_or_null, run_id, status, unreadable};
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
        Some((None, ..)) => {
            execute(connection, sql!("run_wake"), params![project, run, now.as_micros()])?;
            Posted::Due
        }
    };
    execute(connection, sql!("inbox_insert"), params![project, run, is_retry, text])?;
    Ok(posted)
}

fn item(row: &Row<'_>) -> rusqlite::Result<InboxItem> {
    let text: String = row.get(3)?;
    let message = Message::from_text(&text).ok_or_else(|| unreadable(3, Type::Text, "not a message"))?;
    Ok(InboxItem::new(InboxId(row.get(0)?), parsed(row, 1)?, run_id(row, 2)?, message))
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

    async fn messages(&self, worker: &WorkerId) -> Result<Vec<InboxItem>, StoreError> {
        let worker = worker.clone();
        self.read(move |connection, _| {
            all(connection, sql!("inbox_of_worker"), params![worker.as_str()], item)
        })
        .await
    }

    async fn messages_for(&self, project: &ProjectId, run: RunId) -> Result<Vec<InboxItem>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            all(connection, sql!("inbox_of_run"), params![project.as_str(), run.as_bytes()], item)
        })
        .await
    }
}
