//! The order of the code: which file may import which. ARCHITECTURE.md shows the same lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The folders and files of `shared/src`. Each imports only from those before it.
const SHARED: &[&str] = &[
    "error",
    "config",
    "base",
    "app",
    "sockets",
    "people",
    "schema",
    "rooms",
    "messages",
    "membership",
    "uploads",
    "events",
    "sweep",
    "verify",
];
/// The same for `functions/src`.
const FUNCTIONS: &[&str] = &[
    "http",
    "refresh_cookie",
    "form",
    "websocket",
    "custom_resource",
    "environment",
    "jobs",
    "lambda",
    "auth",
    "people",
    "friends",
    "rooms",
    "channels",
    "groups",
    "messages",
    "chats",
    "uploads",
    "operations",
    "reference",
];
/// The same for `gateway/src`: the library, then the files of the binary `coterie`.
const GATEWAY: &[&str] = &[
    "limits",
    "template",
    "proxies",
    "meters",
    "integration",
    "socket_io",
    "bodies",
    "tls",
    "port",
    "connections",
    "invoke",
    "routes",
    "cors",
    "queues",
    "page",
    "sqs",
    "management",
    "peers",
    "store",
    "gateway",
    "measuring",
    "schedule",
    "event_source",
    "http",
    "websocket",
    "server",
    "client",
    "errors",
    "settings",
    "operator",
    "serve",
    "verify",
    "dev",
    "main",
];

/// The same for `bench/src`.
const BENCH: &[&str] = &["chat", "server", "sends", "idle", "requests", "world", "table", "main"];

/// The files of a crate as module paths such as `people::auth::login`, each with the modules that it imports.
fn imports(krate: &str) -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut files = BTreeMap::new();
    read_folder(&root, &root, &mut files);
    let modules: BTreeSet<&String> = files.keys().collect();
    let uses = |file: &String, source: &String| {
        let used = paths(file, source).into_iter();
        used.filter_map(|path| module_of(&path, &modules)).filter(|used| used != file).collect()
    };
    files.iter().map(|(file, source)| (file.clone(), uses(file, source))).collect()
}

/// Reads every source file but `lib.rs` and the one-line binaries.
fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "bin" {
                read_folder(root, &path, files);
            }
            continue;
        }
        let name = path.strip_prefix(root).unwrap().with_extension("");
        let module = name.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("::");
        let module = module.trim_end_matches("::mod").to_owned();
        if module != "lib" {
            files.insert(module, code(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// A source file without its comments and without its unit tests, which are at its end.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = source.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in its own crate that a source file names, such as `people::users::Name` for
/// `crate::people::users::Name`. `use` trees are expanded.
fn paths(file: &str, source: &str) -> Vec<String> {
    let parent = file.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut paths = Vec::new();
    for (keyword, base) in [("crate::", ""), ("super::", parent)] {
        for (start, _) in source.match_indices(keyword) {
            // `$crate` is in macros, and names what is used where the macro is called.
            if source[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == ':') {
                continue;
            }
            expand(base, &source[start + keyword.len()..], &mut paths);
        }
    }
    paths
}

/// Expands what follows a prefix: `users::{self, Name}` becomes `users` and `users::Name`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let joined = |name: &str| match (prefix, name) {
        (prefix, "self") => prefix.to_owned(),
        ("", name) => name.to_owned(),
        (prefix, name) => format!("{prefix}::{name}"),
    };
    if let Some(list) = tree.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    expand(prefix, list[start..at].trim(), paths);
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    match rest.strip_prefix("::") {
        Some(rest) if !name.is_empty() => expand(&joined(name), rest, paths),
        _ if !name.is_empty() => paths.push(joined(name)),
        _ => {}
    }
}

/// The module that a path names, or that contains what it names.
fn module_of(path: &str, modules: &BTreeSet<&String>) -> Option<String> {
    // What lib.rs re-exports.
    let path = match path {
        "App" => "app",
        "Error" | "Result" => "error",
        path => path,
    };
    let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| path[..end].to_owned()).filter(|part| modules.contains(part)).last()
}

/// What is wrong in a crate: files that import from a later folder, and files in a circle of imports.
fn faults(order: &[&str], imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let place = |file: &str| {
        let folder = file.split("::").next().unwrap();
        order.iter().position(|&name| name == folder).unwrap_or_else(|| panic!("add {folder} to the list"))
    };
    let uses = imports.iter().flat_map(|(file, used)| used.iter().map(move |used| (file, used)));
    let late = uses.filter(|(file, used)| place(file) < place(used));
    let late = late.map(|(file, used)| format!("{file} imports {used}, which comes later"));
    let circles = imports.keys().filter(|file| reaches(imports, file, file));
    late.chain(circles.map(|file| format!("{file} is in a circle"))).collect()
}

/// Whether one file imports another, directly or through others.
fn reaches(imports: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for used in imports.get(file).into_iter().flatten() {
            if used == to {
                return true;
            }
            if seen.insert(used) {
                next.push(used);
            }
        }
    }
    false
}

#[test]
fn every_file_imports_only_from_earlier_folders_and_no_imports_form_a_circle() {
    for (krate, order) in
        [("shared", SHARED), ("functions", FUNCTIONS), ("gateway", GATEWAY), ("bench", BENCH)]
    {
        let imports = imports(krate);
        assert!(imports.values().any(|used| !used.is_empty()), "{krate}: no imports were read");
        assert_eq!(faults(order, &imports), [""; 0], "{krate}");
    }
}

#[test]
fn a_reversed_import_is_found() {
    let mut shared = imports("shared");
    assert!(
        shared["membership::members"].contains("messages::system"),
        "membership::members imports messages::system"
    );
    shared.get_mut("messages::system").unwrap().insert("membership::members".to_owned());
    let faults = faults(SHARED, &shared).join("\n");
    assert!(faults.contains("messages::system imports membership::members, which comes later"), "{faults}");
    assert!(faults.contains("membership::members is in a circle"), "{faults}");
}

#[test]
fn lib_rs_and_architecture_md_list_the_folders_in_their_order() {
    let lib = include_str!("../shared/src/lib.rs");
    let modules: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")).collect();
    let modules: Vec<_> = modules.iter().map(|name| name.trim_end_matches(';')).collect();
    assert_eq!(modules, SHARED);
    let architecture = include_str!("../ARCHITECTURE.md");
    let places = SHARED.iter().map(|folder| {
        let row = [format!("| `{folder}/` |"), format!("| `{folder}.rs` |")];
        row.iter().find_map(|row| architecture.find(row)).unwrap_or_else(|| panic!("{folder} has no row"))
    });
    assert!(places.is_sorted(), "ARCHITECTURE.md lists the folders in another order");
}
