//! Listings in ascending byte order. The NameNode compares the bytes of names as signed numbers:
//! where two names differ, one that goes on with a byte above 127 (a letter outside ASCII) comes
//! first there and last here. Everything else is in the same order on both sides.
//!
//! A prefix below which both kinds go on is called a *turn*. Its small names are walked first, its
//! large ones when the walk leaves it. Groups that fit into one page are just sorted.

use std::future::Future;

use crate::error::StoreError;

/// A child of a directory.
pub(crate) trait Named {
    /// Its name.
    fn name(&self) -> &[u8];
}

/// A directory as the NameNode lists it.
pub(crate) trait Directory: Sync {
    /// Its children.
    type Child: Named + Send;

    /// Children behind a name in the NameNode's order, and whether more follow; `None` if there is
    /// no directory. `whole` is false where only names count.
    fn fetch(
        &self,
        behind: &[u8],
        whole: bool,
    ) -> impl Future<Output = Result<Option<Batch<Self::Child>>, StoreError>> + Send;
}

/// Some children, in the NameNode's order or in ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch<C> {
    pub children: Vec<C>,
    pub more: bool,
}

/// Where a walk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Everything up to this name was given; `None` at the begin.
    after: Option<Vec<u8>>,
    /// The NameNode's cursor.
    behind: Vec<u8>,
    /// Open turns, each a prefix of the next.
    turns: Vec<Vec<u8>>,
    /// Walking the large names of the last turn.
    large: bool,
}

/// The two places between which the last page of a directory lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    begin: Place,
    end: Place,
}

/// Behind all names with this prefix, in the NameNode's order.
fn behind_all(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0x7f; 256]].concat()
}

/// Behind the large names with this prefix and before the small ones.
fn behind_large(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff]].concat()
}

fn first_large(name: &[u8]) -> Option<usize> {
    name.iter().position(|byte| !byte.is_ascii())
}

/// The bytes of the character that begins at `at`.
fn character(name: &[u8], at: usize) -> &[u8] {
    let rest = name.get(at..).unwrap_or_default();
    let follows = |byte: &u8| byte & 0xc0 == 0x80;
    let length = 1 + rest.iter().skip(1).take_while(|byte| follows(byte)).count();
    rest.get(..length).unwrap_or(rest)
}

impl Place {
    fn start() -> Self {
        Self { after: None, behind: Vec::new(), turns: Vec::new(), large: false }
    }

    /// A place from a name alone: asks for every prefix whether it is a turn.
    async fn find<D: Directory>(directory: &D, after: &[u8]) -> Result<Self, StoreError> {
        let large_at = first_large(after);
        let mut turns = Vec::new();
        for length in 0..large_at.unwrap_or(after.len()) {
            let prefix = after.get(..length).unwrap_or_default();
            let Some(batch) = directory.fetch(prefix, false).await? else { break };
            if batch.children.first().is_some_and(|child| goes_on_large(child.name(), prefix)) {
                turns.push(prefix.to_vec());
            }
        }
        let mut behind = after.to_vec();
        if let Some(at) = large_at {
            // Up to the first character with the same first byte: a few names are read again.
            turns.push(behind.get(..at).unwrap_or_default().to_vec());
            let lead = behind.get(at).copied().unwrap_or_default().saturating_sub(1);
            behind.truncate(at);
            behind.extend([lead, 0x7f, 0x7f, 0x7f, 0x7f]);
        }
        Ok(Self { after: Some(after.to_vec()), behind, turns, large: large_at.is_some() })
    }

    fn leave_turn(&mut self) {
        if let Some(turn) = self.turns.pop() {
            self.behind = behind_all(&turn);
        }
        self.large = false;
    }
}

fn goes_on_large(name: &[u8], prefix: &[u8]) -> bool {
    name.starts_with(prefix) && name.get(prefix.len()).is_some_and(|byte| !byte.is_ascii())
}

/// The first page after a name, in ascending byte order, and what to remember of the walk. `last`
/// is what an earlier page of the same directory left.
pub(crate) async fn page<D: Directory>(
    directory: &D,
    after: Option<&[u8]>,
    last: Option<Walk>,
) -> Result<Found<D::Child>, StoreError> {
    let mut place = match (after, last) {
        (None, _) => Place::start(),
        (Some(after), Some(walk)) if walk.end.after.as_deref() == Some(after) => walk.end,
        (Some(after), Some(walk)) if walk.holds(after) => walk.begin,
        (Some(after), _) => match small(directory, after).await? {
            Some(page) => return Ok(page),
            None => Place::find(directory, after).await?,
        },
    };
    loop {
        let begin = place.clone();
        let Some(mut batch) = step(directory, &mut place).await? else { return Ok(None) };
        if let Some(child) = batch.children.last() {
            place.after = Some(child.name().to_vec());
        }
        if let Some(after) = after {
            batch.children.retain(|child| child.name() > after);
        }
        if !batch.children.is_empty() || !batch.more {
            return Ok(Some((batch, Walk { begin, end: place })));
        }
    }
}

type Found<C> = Option<(Batch<C>, Walk)>;

/// The rest of a directory that is but one page; `None` if it is more.
async fn small<D: Directory>(
    directory: &D,
    after: &[u8],
) -> Result<Option<Found<D::Child>>, StoreError> {
    let Some(mut batch) = directory.fetch(b"", true).await? else { return Ok(Some(None)) };
    if batch.more {
        return Ok(None);
    }
    batch.children.retain(|child| child.name() > after);
    sort(&mut batch.children);
    let place = Place::start();
    Ok(Some(Some((batch, Walk { begin: place.clone(), end: place }))))
}

impl Walk {
    fn holds(&self, after: &[u8]) -> bool {
        let begun = self.begin.after.as_deref().is_none_or(|begin| begin <= after);
        begun && self.end.after.as_deref().is_some_and(|end| after <= end)
    }
}

/// Gives the next children and moves on. Their number may be 0 while more follow.
async fn step<D: Directory>(
    directory: &D,
    place: &mut Place,
) -> Result<Option<Batch<D::Child>>, StoreError> {
    if place.large {
        return large_step(directory, place).await;
    }
    let Some(fetched) = directory.fetch(&place.behind, true).await? else { return Ok(None) };
    let Batch { mut children, more } = fetched;
    let turn = place.turns.last().cloned();
    if let Some(turn) = &turn {
        let inside = children.iter().take_while(|child| child.name().starts_with(turn)).count();
        if inside < children.len() || !more {
            // The walk leaves the turn: its large names are next.
            children.truncate(inside);
            sort(&mut children);
            place.behind.clone_from(turn);
            place.large = true;
            return Ok(Some(Batch { children, more: true }));
        }
    }
    if !more {
        sort(&mut children);
        return Ok(Some(Batch { children, more: false }));
    }
    // The page ends within these prefixes: names that go on large below them must wait.
    let end = children.last().map(|child| child.name().to_vec()).unwrap_or_default();
    let cut = children.iter().position(|child| {
        first_large(child.name()).is_some() && end.starts_with(&prefix_before_large(child))
    });
    match cut {
        Some(0) => {
            let prefix = children.first().map(prefix_before_large).unwrap_or_default();
            place.behind = behind_large(&prefix);
            place.turns.push(prefix);
            return Ok(Some(Batch { children: Vec::new(), more: true }));
        }
        Some(cut) => children.truncate(cut),
        None => {}
    }
    if let Some(child) = children.last() {
        place.behind = child.name().to_vec();
    }
    sort(&mut children);
    Ok(Some(Batch { children, more: true }))
}

fn prefix_before_large<C: Named>(child: &C) -> Vec<u8> {
    let name = child.name();
    name.get(..first_large(name).unwrap_or(name.len())).unwrap_or_default().to_vec()
}

/// Large names of the last turn: as many as a page holds, but never a part of those that begin
/// with the same character, for among these small and large may mix again.
async fn large_step<D: Directory>(
    directory: &D,
    place: &mut Place,
) -> Result<Option<Batch<D::Child>>, StoreError> {
    let turn = place.turns.last().cloned().unwrap_or_default();
    let mut children: Vec<D::Child> = Vec::new();
    let more = loop {
        let Some(fetched) = directory.fetch(&place.behind, true).await? else { return Ok(None) };
        let known = children.len();
        let count = fetched.children.len();
        let large = |child: &D::Child| goes_on_large(child.name(), &turn);
        children.extend(fetched.children.into_iter().take_while(large));
        if children.len() < known + count || !fetched.more {
            place.leave_turn();
            // The turn at the begin of all names is the last to be left.
            break !turn.is_empty();
        }
        let end = children.last().map(|child| child.name().to_vec()).unwrap_or_default();
        let group = [&turn[..], character(&end, turn.len())].concat();
        let whole = children.iter().take_while(|child| !child.name().starts_with(&group)).count();
        if whole > 0 {
            children.truncate(whole);
            place.behind = children.last().map(|child| child.name().to_vec()).unwrap_or(end);
            break true;
        }
        place.behind = end;
    };
    sort(&mut children);
    Ok(Some(Batch { children, more }))
}

fn sort<C: Named>(children: &mut [C]) {
    children.sort_unstable_by(|one, other| one.name().cmp(other.name()));
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
