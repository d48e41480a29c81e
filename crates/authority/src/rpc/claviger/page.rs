//! Pages of a list of keys.

use domain::{KeyId, Refusal};
use wire::convert;

const DEFAULT: usize = 100;
const MAX: usize = 1_000;

/// Which keys come next, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    after: Option<KeyId>,
    size: usize,
}

impl Page {
    /// Reads the two fields every paged request has. The token is the id of the last key of the page before:
    /// keys are listed in order of their ids, so a page follows on also if that key is gone by then.
    pub(super) fn parse(size: u32, token: &str) -> Result<Self, Refusal> {
        let size = match usize::try_from(size).unwrap_or(MAX) {
            0 => DEFAULT,
            size => size.min(MAX),
        };
        let wrong =
            |_| Refusal::invalid("page_token", "must be the next_page_token of the page before, or empty");
        Ok(Self { after: convert::optional_id("page_token", token).map_err(wrong)?, size })
    }

    /// The items of this page, and the token of the next.
    pub(super) fn cut<T>(self, items: impl Iterator<Item = T>, id: impl Fn(&T) -> KeyId) -> (Vec<T>, String) {
        let mut rest = items.skip_while(|item| self.after.is_some_and(|after| id(item) <= after)).peekable();
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let more = rest.peek().is_some();
        let last = page.last().filter(|_| more);
        let token = last.map(|last| id(last).to_string()).unwrap_or_default();
        (page, token)
    }
}
