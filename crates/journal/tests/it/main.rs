//! What a journal does, seen from outside.
//!
//! [`suite`] says it once for every database: each behaviour takes a [`Ground`](ground::Ground) to stand on, and
//! `behaviours!` makes a test of each on the ground it is given. The other modules are about files, which only SQLite
//! has.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of a test may fail as loudly as the test itself"
)]

mod backup;
mod files;
mod fixture;
mod ground;
mod make;
mod open;
mod suite;

macro_rules! behaviours {
    ($ground:ty) => {
        behaviours! { $ground:
            chain: an_empty_journal, entries_follow_from_one_another, a_commit_of_nothing, bodies_are_kept_as_they_are,
                pages_of_entries;
            records: the_last_word_counts, a_large_batch, documents, a_range_of_documents, odd_names_and_values, streaming_all,
                streaming_stops_at_an_error, streaming_shows_one_moment;
            turns: a_dropped_turn_writes_nothing, everybody_gets_a_turn, a_turn_keeps_the_others_waiting, reopening;
            trouble: a_refused_commit_writes_nothing, entries_of_another_hand_are_missed, another_history_is_refused,
                an_abandoned_commit_is_missed_once, abandoned_commits_never_break_the_chain;
            verify: a_whole_journal, an_edited_body, an_edited_time, an_edited_hash, a_deleted_entry,
                the_first_entry_deleted, a_record_of_no_entry, a_document_of_no_entry, an_end_cut_off_while_open,
                an_end_cut_off_while_closed, a_history_written_anew;
            traces: subjects_lead_to_entries, a_batch_given_twice, what_is_ahead_is_forgotten;
            usage: counts_add_up, days_are_a_range, the_newest_time_stays, old_days_are_forgotten,
                a_subject_is_forgotten, a_count_out_of_range, notes;
            lines: pages_both_ways, a_line_takes_the_place_of_another, what_lies_too_far_back_is_forgotten,
                every_subject_is_told_once, a_place_out_of_range;
        }
    };
    ($ground:ty: $($module:ident: $($behaviour:ident),+;)+) => {
        $(mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $behaviour() {
                    crate::suite::$module::$behaviour(<$ground as crate::ground::Ground>::new().await).await;
                }
            )+
        })+
    };
}

mod sqlite {
    behaviours!(crate::ground::SqliteFile);
}
