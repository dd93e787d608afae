//! All tasks of a parent, page after page.

use std::collections::VecDeque;

use futures_core::Stream;
use futures_util::stream::unfold;

use crate::client::Client;
use crate::error::Error;
use crate::protos::taskgate::v1::{ListTasksRequest, Task};

/// Goes through tasks, and asks for a page when it has none left.
pub struct TaskListing {
    client: Client,
    request: Option<ListTasksRequest>,
    tasks: VecDeque<Task>,
    total_size: Option<i32>,
    incomplete_reason: Option<String>,
}

impl TaskListing {
    pub(crate) fn new(client: Client, request: ListTasksRequest) -> Self {
        Self {
            client,
            request: Some(request),
            tasks: VecDeque::new(),
            total_size: None,
            incomplete_reason: None,
        }
    }

    /// The next task; `None` after the last one. After an error the same page is asked for again.
    pub async fn next(&mut self) -> Option<Result<Task, Error>> {
        loop {
            if let Some(task) = self.tasks.pop_front() {
                return Some(Ok(task));
            }
            let request = self.request.as_mut()?;
            let page = match self.client.list_page(request.clone()).await {
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

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Task, Error>> + Send {
        unfold(self, |mut listing| async { listing.next().await.map(|task| (task, listing)) })
    }

    /// How many tasks the parent has, whatever the filter, where AWS tells; known after a page.
    #[must_use]
    pub fn total_size(&self) -> Option<i32> {
        self.total_size
    }

    /// Why there are tasks that are not listed, once it is known: at the latest at the end.
    #[must_use]
    pub fn incomplete_reason(&self) -> Option<&str> {
        self.incomplete_reason.as_deref()
    }
}
