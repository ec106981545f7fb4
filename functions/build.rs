//! Writes the catalogue for `src/lib.rs`: an entry for each file in `src/bin/`, which names its handler.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/bin");
    let mut catalogue = String::from("BTreeMap::from([\n");
    for file in fs::read_dir("src/bin")? {
        let path = file?.path();
        let source = fs::read_to_string(&path)?;
        let handler = source.split_once("functions::main!(").and_then(|(_, rest)| rest.split_once(')'));
        let (handler, _) = handler.ok_or_else(|| format!("{} needs functions::main!(…);", path.display()))?;
        let name = path.file_stem().unwrap_or_default();
        catalogue += &format!("    ({name:?}, function({handler})),\n");
    }
    catalogue += "])\n";
    let folder = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&folder).join("catalogue.rs"), catalogue)?;
    Ok(())
}
