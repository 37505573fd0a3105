use whimbrel_core::scope::ScopeRules;
use whimbrel_store::local::LocalSource;

use super::*;

/// Paths of a walk, in its order.
async fn walked(root: &std::path::Path, scope: Scope, cut: &[&str]) -> Vec<String> {
    walked_behind(root, scope, cut, None).await
}

async fn walked_behind(
    root: &std::path::Path,
    scope: Scope,
    cut: &[&str],
    behind: Option<&str>,
) -> Vec<String> {
    let source: Arc<dyn Source> = Arc::new(LocalSource::open(root).unwrap());
    let cut = cut.iter().map(|path| RelPath::from(*path)).collect();
    let walk = Walk::new(source, scope, DirectoryMarkers::Empty, RelPath::root(), cut);
    let mut walk = walk.behind(behind.map(RelPath::from));
    let mut paths = Vec::new();
    while let Some(item) = walk.next().await.unwrap() {
        let expected = match item.what {
            What::Directory { marker_expected: true } => " (empty)",
            What::Directory { marker_expected: false } | What::Node(_) => "",
            What::Unreadable(_) => " (unreadable)",
        };
        paths.push(format!("{}{expected}", item.path));
    }
    paths
}

fn tree(files: &[&str], directories: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for directory in directories {
        std::fs::create_dir_all(folder.path().join(directory)).unwrap();
    }
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    folder
}

#[tokio::test]
async fn goes_in_the_order_of_keys() {
    let files = ["a/x", "a-b", "a.txt", "a!/y", "a0", "a-/z", "b/c/d", "b-", "b/c!"];
    let folder = tree(&files, &["a-b-empty", "b/c/e"]);
    let paths = walked(folder.path(), Scope::everything(), &[]).await;
    let mut expected: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
    expected.extend(["a!/", "a-/", "a/", "b/", "b/c/"].map(str::to_owned));
    expected.extend(["a-b-empty/ (empty)", "b/c/e/ (empty)"].map(str::to_owned));
    expected.sort_by_key(|path| path.replace(" (empty)", ""));
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn more_names_than_a_page_and_than_run_ahead() {
    let files: Vec<String> = (0..2500)
        .map(|number| format!("f{number:05}"))
        .chain((0..300).map(|number| format!("d{number:03}/x")))
        .collect();
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let folder = tree(&names, &[]);
    let paths = walked(folder.path(), Scope::everything(), &[]).await;
    assert!(paths.is_sorted());
    assert_eq!(paths.iter().filter(|path| !path.ends_with('/')).count(), files.len());
}

#[tokio::test]
async fn keeps_to_the_scope_and_leaves_mapped_subtrees_out() {
    let folder = tree(&["a/x", "a/_temporary/y", "b/z", "c/d/w", "c/v"], &[]);
    let rules = ScopeRules {
        excludes: vec!["b".to_owned()],
        component_excludes: vec!["_temporary".to_owned()],
        ..ScopeRules::default()
    };
    let paths = walked(folder.path(), Scope::new(&rules).unwrap(), &["c/d"]).await;
    assert_eq!(paths, ["a/", "a/x", "c/", "c/v"]);
}

/// Behind every single path, and behind some that do not stand there, it is the rest.
#[tokio::test]
async fn goes_on_behind_any_path() {
    let files = ["a/x", "a-b", "a.txt", "a!/y", "a0", "a-/z", "b/c/d", "b-", "b/c!", "b/c/e/f/g"];
    let folder = tree(&files, &["a-b-empty", "b/c/e/h", "b/0"]);
    let all = walked(folder.path(), Scope::everything(), &[]).await;
    let bare = |path: &String| path.replace(" (empty)", "");
    let others = ["", "a", "a-", "b", "b/c", "b/c/", "b/c/e/f", "c", "a/xy"].map(str::to_owned);
    for behind in all.iter().map(bare).chain(others) {
        let rest = walked_behind(folder.path(), Scope::everything(), &[], Some(&behind)).await;
        let expected: Vec<String> = all.iter().filter(|p| bare(p) > behind).cloned().collect();
        assert_eq!(rest, expected, "behind {behind:?}");
    }
}
