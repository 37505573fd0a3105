//! What belongs to a file that goes back: as its object carries it; else as the file had it whose
//! place it takes; else as new files get it there.

use std::time::{SystemTime, UNIX_EPOCH};

use whimbrel_core::metadata::{Metadata, MetadataLevel};
use whimbrel_core::record::Row;
use whimbrel_store::stamp::{self, digest_agrees};
use whimbrel_store::target::Object;

/// On a directory the bits beyond these say who may remove in it, and whose its files are.
const SET_ID: u32 = 0o6000;
/// A program with the other bits runs with the rights of its owner or group.
const OF_A_FILE: u32 = 0o777;
/// The names under which a digest may stand.
const DIGESTED: [&str; 4] = ["owner", "group", "acl", "xattr"];

/// Of a file, which gets other bytes: as a kernel does it when somebody else writes, no program
/// stays one that runs as its owner, whoever could write to the target.
pub(super) fn of_file(
    level: MetadataLevel,
    object: &Object,
    row: Option<&Row>,
    replaced: Option<&Metadata>,
) -> Option<Metadata> {
    let belongings = belongings(level, object, row, replaced)?;
    Some(Metadata { mode: belongings.mode & OF_A_FILE, ..belongings })
}

/// `None`: the object carries a digest of something that the ledger does not have.
pub(super) fn belongings(
    level: MetadataLevel,
    object: &Object,
    row: Option<&Row>,
    replaced: Option<&Metadata>,
) -> Option<Metadata> {
    let stamped = stamp::decode(&object.user_metadata).metadata;
    let stamped = stamped.filter(|_| level != MetadataLevel::None).unwrap_or_default();
    // Programs that copy objects take the time along, and nobody else's mode is of this form.
    let timed = stamp::modified_ns(&object.user_metadata);
    let modified_ns = timed.filter(|_| level != MetadataLevel::None).unwrap_or_else(now);
    let whole = object.user_metadata.contains_key("whimbrel-mode") && level != MetadataLevel::None;
    if !whole {
        let rights = replaced.cloned().unwrap_or_default();
        return Some(Metadata { modified_ns, ..rights });
    }
    let mut metadata = Metadata { modified_ns, ..stamped };
    if level != MetadataLevel::Full {
        metadata.xattrs.clear();
    }
    let had = row.map_or(0, |row| row.metadata.mode);
    metadata.mode &= !SET_ID | had;
    for name in DIGESTED {
        let known = row.map(|row| &row.metadata);
        let agrees = known.and_then(|known| digest_agrees(&object.user_metadata, name, known));
        match (name, known, agrees) {
            ("xattr", _, _) if level != MetadataLevel::Full => {}
            (_, Some(known), Some(true)) => take(name, known, &mut metadata),
            (_, _, Some(_)) => return None,
            (_, None, None) if stands(object, name) => return None,
            (_, _, None) => {}
        }
    }
    Some(metadata)
}

fn stands(object: &Object, name: &str) -> bool {
    object.user_metadata.contains_key(&format!("whimbrel-{name}-digest"))
}

fn take(name: &str, known: &Metadata, metadata: &mut Metadata) {
    match name {
        "owner" => metadata.owner.clone_from(&known.owner),
        "group" => metadata.group.clone_from(&known.group),
        "acl" => metadata.acl.clone_from(&known.acl),
        _ => metadata.xattrs.clone_from(&known.xattrs),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use whimbrel_store::target::Stamp;

    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            owner: "ann".to_owned(),
            group: "staff".to_owned(),
            mode: 0o640,
            modified_ns: 5_000_000_007,
            acl: Some("user::rw-,user:bob:r--,group::r--,mask::r--,other::---".to_owned()),
            xattrs: [("user.x".to_owned(), vec![1, 2])].into(),
        }
    }

    fn object(metadata: Option<Metadata>) -> Object {
        let stamp = Stamp { migration: "m".to_owned(), attempt: 1, metadata };
        Object { user_metadata: stamp::encode(&stamp), ..Object::default() }
    }

    #[test]
    fn what_an_object_carries_belongs_to_its_file() {
        let carried = object(Some(metadata()));
        assert_eq!(belongings(MetadataLevel::Full, &carried, None, None), Some(metadata()));
        let basic = Metadata { xattrs: Default::default(), ..metadata() };
        assert_eq!(belongings(MetadataLevel::Basic, &carried, None, None), Some(basic));
        let none = belongings(MetadataLevel::None, &carried, None, None).unwrap();
        assert!(!none.has_rights() && none.modified_ns > metadata().modified_ns);
    }

    #[test]
    fn no_object_makes_a_program_that_runs_as_somebody_else() {
        let run_as = |mode| Metadata { mode, ..metadata() };
        let carried = object(Some(run_as(0o4755)));
        let foreign = Object::default();
        let mode = |object: &Object, replaced: Option<&Metadata>| {
            of_file(MetadataLevel::Basic, object, None, replaced).unwrap().mode
        };
        assert_eq!(mode(&carried, None), 0o755);
        for had in [0o1755, 0o2755, 0o4755, 0o7755] {
            assert_eq!(mode(&carried, Some(&run_as(had))), 0o755);
            assert_eq!(mode(&foreign, Some(&run_as(had))), 0o755);
        }
    }

    #[test]
    fn what_others_wrote_is_as_what_it_replaces_or_as_new_files_are() {
        let foreign = Object::default();
        let replaced = belongings(MetadataLevel::Basic, &foreign, None, Some(&metadata())).unwrap();
        assert_eq!((replaced.owner.as_str(), replaced.mode), ("ann", 0o640));
        assert!(replaced.modified_ns > metadata().modified_ns);
        assert!(!belongings(MetadataLevel::Basic, &foreign, None, None).unwrap().has_rights());
        let half = timed("12.5");
        assert!(!half.has_rights() && half.modified_ns == 12_500_000_000);
        assert_eq!(timed("-5").modified_ns, -5_000_000_000, "before 1970");
    }

    fn timed(mtime: &str) -> Metadata {
        let mut object = Object::default();
        object.user_metadata.insert("mtime".to_owned(), mtime.to_owned());
        belongings(MetadataLevel::Basic, &object, None, None).unwrap()
    }

    /// These became 1970.
    #[test]
    fn a_time_that_cannot_be_used_is_none() {
        let before = now();
        for mtime in [
            "",
            "yesterday",
            "NaN",
            "1e9",
            "0x10",
            "1700000000,5",
            "1700000000123",
            "99999999999999999999999999999999999999999999",
        ] {
            let modified_ns = timed(mtime).modified_ns;
            assert!((before..=now()).contains(&modified_ns), "{mtime}: {modified_ns}");
        }
    }
}
