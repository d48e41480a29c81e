//! The newest of something, for a client that watches it.
//!
//! Not a queue: a client that reads slowly gets the newest value late and none of those in between, and when its
//! right ends, what it has not read yet is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::Status;

/// What is to be read, and how it ended.
#[derive(Debug)]
struct Slot<T> {
    newest: Option<T>,
    end: Option<Status>,
    /// Nothing comes after what is there.
    finished: bool,
}

#[derive(Debug)]
struct Shared<T> {
    slot: Mutex<Slot<T>>,
    reader: AtomicWaker,
    left: Notify,
    /// The slot is empty again.
    taken: Notify,
}

/// The side that knows.
#[derive(Debug)]
pub(crate) struct Writer<T>(Arc<Shared<T>>);

/// The side that is read. It asks `may_read` before it hands anything out.
pub(crate) struct Reader<T, F> {
    shared: Arc<Shared<T>>,
    may_read: F,
    ended: bool,
}

/// Both sides. `may_read` says, at the moment something is handed out, whether it still may be.
pub(crate) fn feed<T, F: Fn() -> Result<(), Status>>(may_read: F) -> (Writer<T>, Reader<T, F>) {
    let slot = Mutex::new(Slot { newest: None, end: None, finished: false });
    let shared =
        Arc::new(Shared { slot, reader: AtomicWaker::new(), left: Notify::new(), taken: Notify::new() });
    (Writer(Arc::clone(&shared)), Reader { shared, may_read, ended: false })
}

impl<T> Writer<T> {
    /// This is the newest now.
    pub(crate) fn put(&self, newest: T) {
        self.0.slot.lock().newest = Some(newest);
        self.0.reader.wake();
    }

    /// It is over, and whatever was not read yet is not to be read any more.
    pub(crate) fn end(&self, status: Status) {
        *self.0.slot.lock() = Slot { newest: None, end: Some(status), finished: false };
        self.0.reader.wake();
    }

    /// It is over once what is there was read.
    pub(crate) fn finish(&self) {
        self.0.slot.lock().finished = true;
        self.0.reader.wake();
    }

    /// Waits until what was put is read. For what must not be passed over.
    pub(crate) async fn taken(&self) {
        loop {
            // One reader, one writer: a permit that is left over costs another look.
            let taken = self.0.taken.notified();
            if self.0.slot.lock().newest.is_none() {
                return;
            }
            taken.await;
        }
    }

    /// Waits until the reader is gone.
    pub(crate) async fn left(&self) {
        self.0.left.notified().await;
    }
}

impl<T, F: Fn() -> Result<(), Status> + Unpin> Stream for Reader<T, F> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // Registered before looking, so that nothing between the two is missed.
        self.shared.reader.register(context.waker());
        let (newest, end, finished) = {
            let mut slot = self.shared.slot.lock();
            (slot.newest.take(), slot.end.take(), slot.finished)
        };
        let item = match (end, newest) {
            (Some(status), _) => Err(status),
            (None, None) if finished => {
                self.ended = true;
                return Poll::Ready(None);
            }
            (None, None) => return Poll::Pending,
            (None, Some(newest)) => {
                self.shared.taken.notify_one();
                (self.may_read)().map(|()| newest)
            }
        };
        self.ended = item.is_err();
        Poll::Ready(Some(item))
    }
}

impl<T, F> Drop for Reader<T, F> {
    fn drop(&mut self) {
        self.shared.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn only_the_newest_is_read_and_nothing_after_the_end() {
        let (writer, mut reader) = feed(|| Ok(()));
        writer.put(1);
        writer.put(2);
        assert_eq!(reader.next().await.unwrap().unwrap(), 2);
        writer.put(3);
        writer.end(Status::unauthenticated("over"));
        assert!(reader.next().await.unwrap().is_err());
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn what_must_not_be_passed_over_is_waited_for() {
        let (writer, mut reader) = feed(|| Ok(()));
        let sent = tokio::spawn(async move {
            for number in 0..100 {
                writer.taken().await;
                writer.put(number);
            }
            writer.finish();
        });
        let read: Vec<i32> = reader.by_ref().map(Result::unwrap).collect().await;
        assert!(read.into_iter().eq(0..100));
        assert!(reader.next().await.is_none());
        sent.await.unwrap();
    }

    #[tokio::test]
    async fn what_may_not_be_read_any_more_is_not() {
        let (writer, mut reader) = feed(|| Err(Status::unauthenticated("over")));
        writer.put(1);
        assert!(reader.next().await.unwrap().is_err());
        drop(reader);
        writer.left().await;
    }
}
