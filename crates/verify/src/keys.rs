//! The target in the order of its keys.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;
use whimbrel_store::error::StoreError;
use whimbrel_store::target::{Object, ObjectPage, Target};

use crate::attempt;

/// Keys under a prefix, one page ahead.
pub(crate) struct Keys {
    target: Arc<dyn Target>,
    prefix: Vec<u8>,
    ready: VecDeque<Object>,
    next: Option<JoinHandle<Result<ObjectPage, StoreError>>>,
}

impl Keys {
    /// Those that come after a key.
    pub fn new(target: Arc<dyn Target>, prefix: Vec<u8>, after: Option<Vec<u8>>) -> Self {
        let mut keys = Self { target, prefix, ready: VecDeque::new(), next: None };
        keys.ask(after);
        keys
    }

    /// The next object; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Object>, StoreError> {
        while self.ready.is_empty() {
            let Some(listing) = self.next.take() else { return Ok(None) };
            let page = listing.await.unwrap_or_else(|error| {
                Err(StoreError::Unavailable {
                    message: format!("a listing was cut off: {error}"),
                    remedy: "report it: this is a defect".to_owned(),
                })
            })?;
            let last = page.objects.last().map(|object| object.key.clone());
            if page.more && last.is_some() {
                self.ask(last);
            }
            self.ready = page.objects.into();
        }
        Ok(self.ready.pop_front())
    }

    fn ask(&mut self, after: Option<Vec<u8>>) {
        let (target, prefix) = (self.target.clone(), self.prefix.clone());
        self.next = Some(tokio::spawn(async move {
            attempt::ask(|| target.list(&prefix, after.as_deref())).await
        }));
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(listing) = &self.next {
            listing.abort();
        }
    }
}
