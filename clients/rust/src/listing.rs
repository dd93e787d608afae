//! The iterator over all tasks of a parent.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use futures_core::Stream;
use futures_util::stream::unfold;

use crate::error::Error;
use crate::protos::taskgate::v1::{ListTasksRequest, ListTasksResponse, Task};

type Page = Pin<Box<dyn Future<Output = Result<ListTasksResponse, Error>> + Send>>;
type Fetch = Box<dyn Fn(ListTasksRequest) -> Page + Send + Sync>;

/// An iterator over tasks, which fetches pages as needed.
pub struct TaskListing {
    fetch: Fetch,
    request: Option<ListTasksRequest>,
    tasks: VecDeque<Task>,
    total_size: Option<i32>,
    incomplete_reason: Option<String>,
}

impl TaskListing {
    pub(crate) fn new(fetch: Fetch, request: ListTasksRequest) -> Self {
        Self {
            fetch,
            request: Some(request),
            tasks: VecDeque::new(),
            total_size: None,
            incomplete_reason: None,
        }
    }

    /// Returns the next task; `None` after the last one. After an error it requests the same page again.
    pub async fn next(&mut self) -> Option<Result<Task, Error>> {
        loop {
            if let Some(task) = self.tasks.pop_front() {
                return Some(Ok(task));
            }
            let request = self.request.as_mut()?;
            let page = match (self.fetch)(request.clone()).await {
                Ok(page) => page,
                Err(error) => return Some(Err(error)),
            };
            self.tasks = page.tasks.into();
            self.total_size = page.total_size.or(self.total_size);
            self.incomplete_reason = page.incomplete_reason.or(self.incomplete_reason.take());
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                self.request = None;
            }
        }
    }

    /// Returns the tasks as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Task, Error>> + Send {
        unfold(self, |mut listing| async { listing.next().await.map(|task| (task, listing)) })
    }

    /// Returns the number of tasks of the parent, regardless of the filter; `None` before the first
    /// page, and if AWS does not return it.
    #[must_use]
    pub fn total_size(&self) -> Option<i32> {
        self.total_size
    }

    /// Returns why the listing omits tasks; known at its end at the latest.
    #[must_use]
    pub fn incomplete_reason(&self) -> Option<&str> {
        self.incomplete_reason.as_deref()
    }
}
