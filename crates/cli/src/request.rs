//! What SOURCE, TARGET and the scope options mean together, checked before anything is opened.

use std::ffi::OsStr;
use std::path::PathBuf;

use whimbrel_core::path::RelPath;
use whimbrel_core::scope::{DEFAULT_EXCLUSIONS, Scope, ScopeRules};
use whimbrel_hdfs::{Configuration, Error};
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::nested;

use crate::arguments::{ConnectionArguments, ScopeArguments};
use crate::exit::CommandError;
use crate::location::{Location, overlap, resolved};

/// A source and a target that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Where from.
    pub source: Location,
    /// Where to.
    pub target: Location,
}

impl Pair {
    /// Reads both and refuses what cannot work.
    ///
    /// # Errors
    /// Wrong use.
    pub fn parse(
        source: &OsStr,
        target: &OsStr,
        connection: &ConnectionArguments,
    ) -> Result<Self, CommandError> {
        let read = |text: &OsStr, side: &str| {
            Location::parse(text).map_err(|reason| {
                let shown = without_credentials(&text.to_string_lossy());
                CommandError::usage(format!("{side} {shown:?}: {reason}"), URL_REMEDY)
            })
        };
        let pair = Self { source: read(source, "SOURCE")?, target: read(target, "TARGET")? };
        if matches!(pair.target, Location::Hdfs { .. }) {
            return Err(CommandError::usage(
                format!("{} cannot be a target: Whimbrel does not write to HDFS", pair.target),
                "choose s3://BUCKET/prefix or a local path as TARGET",
            ));
        }
        pair.refuse_overlap(connection)?;
        pair.check_hadoop(connection)?;
        Ok(pair)
    }

    /// Names and values that a migration's state begins with: it is of these two alone.
    pub fn settings(&self) -> Vec<(String, String)> {
        vec![
            ("source".to_owned(), self.source.to_string()),
            ("target".to_owned(), self.target.to_string()),
        ]
    }

    /// Hadoop's configuration has to name the cluster before anybody can be asked.
    fn check_hadoop(&self, connection: &ConnectionArguments) -> Result<(), CommandError> {
        let Location::Hdfs { authority, .. } = &self.source else { return Ok(()) };
        let configured = match hadoop_conf(connection) {
            Some(folder) => Configuration::read(&folder),
            None => Ok(Configuration::new()),
        };
        match configured.and_then(|configuration| configuration.cluster(authority)) {
            Err(error @ Error::Configuration { .. }) => Err(CommandError::usage(
                format!("{}: {error}", self.source),
                "name the folder of core-site.xml and hdfs-site.xml with HADOOP_CONF_DIR or \
                 --hadoop-conf, or write hdfs://HOST:PORT/path",
            )),
            // What else is wrong is the source's own matter, and told when it is opened.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn refuse_overlap(&self, connection: &ConnectionArguments) -> Result<(), CommandError> {
        let one_server = connection.source_endpoint == connection.target_endpoint
            && connection.source_profile == connection.target_profile
            && connection.source_region == connection.target_region;
        if !overlaps(&self.source, &self.target, one_server) {
            return Ok(());
        }
        Err(CommandError::usage(
            format!("{} and {} are the same or one lies in the other", self.source, self.target),
            "choose a TARGET outside of SOURCE, and a SOURCE outside of TARGET",
        ))
    }

    /// Refuses two targets of one source that are one place: each would take what the other wrote
    /// for somebody else's.
    ///
    /// # Errors
    /// Wrong use.
    pub fn refuse_target_overlap(&self, other: &Self) -> Result<(), CommandError> {
        let (one, other) = (&self.target, &other.target);
        if !overlaps(one, other, true) && !overlaps(other, one, true) {
            return Ok(());
        }
        Err(CommandError::usage(
            format!("the targets {one} and {other} are the same or one lies in the other"),
            "name targets that lie apart",
        ))
    }

    /// Refuses a state folder within what is read or written: it would feed on itself.
    ///
    /// # Errors
    /// Wrong use.
    pub fn refuse_state_inside(&self, folder: &std::path::Path) -> Result<(), CommandError> {
        self.refuse_inside(folder, "state folder", "--state")
    }

    /// Refuses a report's folder within what is read or written.
    ///
    /// # Errors
    /// Wrong use.
    pub fn refuse_report_inside(&self, folder: &std::path::Path) -> Result<(), CommandError> {
        self.refuse_inside(folder, "report's folder", "--report")
    }

    fn refuse_inside(
        &self,
        folder: &std::path::Path,
        what: &str,
        flag: &str,
    ) -> Result<(), CommandError> {
        let folder = resolved(folder);
        for (side, location) in [("SOURCE", &self.source), ("TARGET", &self.target)] {
            if let Location::Local { path } = location
                && folder.starts_with(resolved(path))
            {
                return Err(CommandError::usage(
                    format!("the {what} {} lies in {side} {location}", folder.display()),
                    format!("put it elsewhere with {flag} DIR"),
                ));
            }
        }
        Ok(())
    }
}

/// True if one is the other or lies in it. `one_server`: buckets of the same name are the same.
fn overlaps(one: &Location, other: &Location, one_server: bool) -> bool {
    match (one, other) {
        (Location::Local { path: one }, Location::Local { path: other }) => {
            // What cannot be found here is told when it is opened.
            overlap(one, other) || matches!(nested(one, other), Ok(Some(_)))
        }
        (
            Location::Bucket { bucket: one, prefix: from },
            Location::Bucket { bucket: other, prefix: to },
        ) => {
            let (from, to) = (RelPath::from(from.as_str()), RelPath::from(to.as_str()));
            one_server && one == other && (from.contains(&to) || to.contains(&from))
        }
        (Location::Local { .. } | Location::Bucket { .. } | Location::Hdfs { .. }, _) => false,
    }
}

/// A URL as it may be shown: what stands before an `@` of its authority may be a password.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://...@{host}{path}"),
        None => url.to_owned(),
    }
}

const URL_REMEDY: &str = "correct the URL; URLs are taken as they stand, without percent-decoding";

/// The scope and the mapping of a call.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Which paths count.
    pub rules: ScopeRules,
    /// The same, ready to ask.
    pub scope: Scope,
    /// Pairs FROM, TO.
    pub moves: Vec<(RelPath, RelPath)>,
}

impl Coverage {
    /// Reads the scope options.
    ///
    /// # Errors
    /// Wrong use: a glob, a mapping or a name that cannot be.
    pub fn parse(arguments: &ScopeArguments) -> Result<Self, CommandError> {
        for name in &arguments.no_default_exclude {
            if !DEFAULT_EXCLUSIONS.contains(&name.as_str()) {
                return Err(CommandError::usage(
                    format!("--no-default-exclude {name:?}: there is no such exclusion"),
                    format!("the ready-made ones are {}", DEFAULT_EXCLUSIONS.join(" ")),
                ));
            }
        }
        let without: &[String] = &arguments.no_default_exclude;
        let kept = |pattern: &str| {
            !arguments.no_default_excludes && !without.iter().any(|name| name == pattern)
        };
        let rules = ScopeRules {
            includes: arguments.include.clone(),
            excludes: arguments.exclude.clone(),
            component_excludes: DEFAULT_EXCLUSIONS
                .into_iter()
                .filter(|pattern| kept(pattern))
                .map(str::to_owned)
                .collect(),
            single_file: None,
        };
        let moves = arguments.map.iter().map(|text| parse_move(text)).collect::<Result<_, _>>()?;
        let coverage = Self { scope: Scope::default(), rules, moves };
        // An early look at the mapping: the prefix has no say in whether it can be.
        coverage.keys("probe")?;
        coverage.ready()
    }

    /// Cut down to one file of the root.
    ///
    /// # Errors
    /// None that `parse` would not have had.
    pub fn of_single_file(mut self, name: RelPath) -> Result<Self, CommandError> {
        self.rules.single_file = Some(name);
        self.ready()
    }

    /// The mapping in one form, whatever the order of its pairs.
    pub fn mapping(&self) -> String {
        let mut pairs: Vec<String> =
            self.moves.iter().map(|(from, to)| format!("{from}={to}")).collect();
        pairs.sort();
        if pairs.is_empty() { "none".to_owned() } else { pairs.join(" ") }
    }

    fn ready(mut self) -> Result<Self, CommandError> {
        self.scope = Scope::new(&self.rules).map_err(|error| {
            CommandError::usage(
                error.to_string(),
                "correct --include or --exclude; whimbrel help migrate shows how globs are read",
            )
        })?;
        Ok(self)
    }

    /// Where paths stand under a prefix of the target.
    ///
    /// # Errors
    /// Mappings that contradict each other.
    pub fn keys(&self, prefix: &str) -> Result<KeyMap, CommandError> {
        KeyMap::new(prefix.as_bytes(), &self.moves).map_err(|error| {
            CommandError::usage(format!("--map: {error}"), "correct the FROM=TO pairs")
        })
    }
}

fn parse_move(text: &str) -> Result<(RelPath, RelPath), CommandError> {
    let wrong = |reason: &str| {
        CommandError::usage(
            format!("--map {text:?} {reason}"),
            "write FROM=TO, both relative to SOURCE and TARGET, like --map old/place=new/place",
        )
    };
    let (from, to) = text.split_once('=').ok_or_else(|| wrong("has no ="))?;
    let (from, to) = (from.trim_end_matches('/'), to.trim_end_matches('/'));
    if from.is_empty() {
        return Err(wrong("has an empty FROM"));
    }
    if to.is_empty() {
        return Err(wrong("has an empty TO: beside TARGET itself nothing else has a place"));
    }
    if from.starts_with('/') || to.starts_with('/') {
        return Err(wrong("begins with /"));
    }
    let dots = |path: &str| path.split('/').any(|name| matches!(name, "." | ".."));
    if dots(from) || dots(to) {
        return Err(wrong("holds . or .."));
    }
    Ok((RelPath::from(from), RelPath::from(to)))
}

/// Where Hadoop's configuration is: as asked for, or `HADOOP_CONF_DIR`.
pub fn hadoop_conf(connection: &ConnectionArguments) -> Option<PathBuf> {
    let from_environment = || std::env::var_os("HADOOP_CONF_DIR").filter(|value| !value.is_empty());
    connection.hadoop_conf.clone().or_else(|| from_environment().map(PathBuf::from))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// As the command line reads them.
    pub fn connection(flags: &[&str]) -> ConnectionArguments {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            connection: ConnectionArguments,
        }
        let arguments = std::iter::once("whimbrel").chain(flags.iter().copied());
        <Only as clap::Parser>::parse_from(arguments).connection
    }

    #[test]
    fn pairs() {
        for (source, target, flags, expected) in [
            ("hdfs://nn:8020/a", "s3://b/p", &[][..], true),
            ("hdfs://nn:8020/a", "/b", &[], true),
            ("/a", "s3://b", &[], true),
            ("/a", "/b", &[], true),
            ("s3://a/p", "s3://b/p", &[], true),
            ("s3://a/p", "/b", &[], true),
            ("s3://a/p", "s3://a/q", &[], true),
            ("s3://a/p", "s3://a/pq", &[], true),
            ("s3://a/p", "s3://a/p", &[], false),
            ("s3://a/p", "s3a://a/p/", &[], false),
            ("s3://a/p", "s3://a/p/q", &[], false),
            ("s3://a/p/q", "s3://a/p", &[], false),
            ("s3://a", "s3://a/p", &[], false),
            ("s3://a/p", "s3://a/p", &["--source-endpoint", "http://h:1"], true),
            ("s3://a/p", "s3://a/p", &["--target-profile", "new"], true),
            ("/a", "hdfs://nn:8020/a", &[], false),
            ("/a", "/a/b", &[], false),
            ("/a/b", "/a", &[], false),
            ("/a", "/a/", &[], false),
        ] {
            let pair = Pair::parse(source.as_ref(), target.as_ref(), &connection(flags));
            assert_eq!(pair.is_ok(), expected, "{source} {target} {flags:?}");
        }
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        for url in ["s3://key:SECRET@b/p", "hdfs://me:SECRET@nn:8020/p", "s3://a@SECRET@b"] {
            let error = Pair::parse(url.as_ref(), "/b".as_ref(), &connection(&[])).unwrap_err();
            assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        }
    }

    #[test]
    fn a_state_folder_inside_is_refused() {
        let pair = Pair::parse("/a".as_ref(), "/b".as_ref(), &connection(&[])).unwrap();
        for (folder, expected) in [("/c", true), ("/a/s", false), ("/b/s", false), ("/ab", true)] {
            let checked = pair.refuse_state_inside(std::path::Path::new(folder));
            assert_eq!(checked.is_ok(), expected, "{folder}");
        }
    }

    fn coverage(map: &[&str], without: &[&str]) -> Result<Coverage, CommandError> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Coverage::parse(&ScopeArguments {
            map: owned(map),
            no_default_exclude: owned(without),
            ..ScopeArguments::default()
        })
    }

    #[test]
    fn mappings() {
        let moves = coverage(&["a/b=c", "d=e/"], &[]).unwrap().moves;
        assert_eq!(moves, [("a/b".into(), "c".into()), ("d".into(), "e".into())]);
        for map in
            [&["a"][..], &["=b"], &["a="], &["/a=b"], &["a=/b"], &["a/..=b"], &["a=b", "a=c"]]
        {
            assert!(coverage(map, &[]).is_err(), "{map:?}");
        }
    }

    #[test]
    fn ready_made_exclusions_can_be_left_out() {
        let covers = |coverage: &Coverage, path: &str| coverage.scope.covers_file(&path.into());
        let all = coverage(&[], &[]).unwrap();
        assert!(!covers(&all, "a/.Trash/x") && !covers(&all, "a/_temporary/x"));
        let some = coverage(&[], &[".Trash"]).unwrap();
        assert!(covers(&some, "a/.Trash/x") && !covers(&some, "a/_temporary/x"));
        assert!(coverage(&[], &[".trash"]).is_err());
    }
}
