use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

impl Named for String {
    fn name(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A directory in the NameNode's order.
struct Listed {
    names: Vec<String>,
    page: usize,
    fetches: AtomicUsize,
}

fn signed(name: &[u8]) -> Vec<i8> {
    name.iter().map(|byte| byte.cast_signed()).collect()
}

impl Listed {
    fn new(names: impl IntoIterator<Item = String>, page: usize) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_by_key(|name| signed(name.as_bytes()));
        names.dedup();
        Self { names, page, fetches: AtomicUsize::new(0) }
    }

    fn expected(&self) -> Vec<String> {
        let mut names = self.names.clone();
        names.sort();
        names
    }
}

impl Directory for Listed {
    type Child = String;

    async fn fetch(&self, behind: &[u8], _: bool) -> Result<Option<Batch<String>>, StoreError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let begin = self.names.partition_point(|name| signed(name.as_bytes()) <= signed(behind));
        let end = self.names.len().min(begin + self.page);
        let children = self.names[begin..end].to_vec();
        Ok(Some(Batch { children, more: end < self.names.len() }))
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// All pages, each asked for behind the name that `next` picks from the page before.
fn walk(listed: &Listed, remember: bool, next: impl Fn(&[String]) -> usize) -> Vec<String> {
    block_on(async {
        let mut names: Vec<String> = Vec::new();
        let mut after: Option<String> = None;
        let mut walk = None;
        loop {
            let asked = after.as_ref().map(String::as_bytes);
            let last = walk.take().filter(|_| remember);
            let (batch, left) = page(listed, asked, last).await.unwrap().unwrap();
            walk = Some(left);
            let given = batch.children.len();
            let kept = if given == 0 { 0 } else { next(&batch.children).min(given) };
            let whole = kept == given;
            names.extend(batch.children.into_iter().take(kept));
            if !batch.more && whole {
                return names;
            }
            after = names.last().cloned();
        }
    })
}

#[test]
fn plain_directories_take_one_call_per_page() {
    let listed = Listed::new((0..1000).map(|n| format!("part-{n:05}")), 100);
    assert_eq!(walk(&listed, true, <[String]>::len), listed.expected());
    assert_eq!(listed.fetches.load(Ordering::Relaxed), 10);
}

#[test]
fn going_on_in_a_small_directory_takes_one_call() {
    let listed = Listed::new(["é", "a", "b"].map(str::to_owned), 100);
    assert_eq!(walk(&listed, false, |_| 1), listed.expected());
    assert_eq!(listed.fetches.load(Ordering::Relaxed), 3);
}

#[test]
fn few_foreign_letters_cost_few_calls() {
    let names =
        (0..1000).map(|n| if n % 10 == 0 { format!("{n:04}-ö") } else { format!("{n:04}") });
    let listed = Listed::new(names, 100);
    assert_eq!(walk(&listed, true, <[String]>::len), listed.expected());
    let fetches = listed.fetches.load(Ordering::Relaxed);
    assert!(fetches <= 12, "{fetches}");
}

#[test]
fn foreign_names_are_walked_by_character() {
    let names = (0..1000_u32).map(|n| {
        let letter = char::from_u32(0x4e00 + n / 10).unwrap();
        format!("{letter}{}", ["", "a", "ü", "z", "é", "1", "ß", "語", "0", "~"][n as usize % 10])
    });
    let listed = Listed::new(names, 100);
    assert_eq!(walk(&listed, true, <[String]>::len), listed.expected());
    let fetches = listed.fetches.load(Ordering::Relaxed);
    assert!(fetches <= 16, "{fetches}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the names, the size of the server's pages and the places where a caller goes on.
    #[test]
    fn every_walk_is_whole_and_in_byte_order(
        names in proptest::collection::vec("[ab~é語\u{80}\u{7f}]{1,5}", 0..80),
        page in 1_usize..12,
        keep in 1_usize..14,
        remember: bool,
    ) {
        let listed = Listed::new(names, page);
        let walked = walk(&listed, remember, |_| keep);
        prop_assert_eq!(walked, listed.expected());
    }
}
