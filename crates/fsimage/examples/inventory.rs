//! How fast an image is read, a line for each figure; what `cargo xtask scale` calls.
//!
//! `cargo run --release -p whimbrel-fsimage --example inventory -- decode|list IMAGE FOLDER`: every
//! inode in the image's order, or in that of a listing from the root. Temporary files go to FOLDER.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use whimbrel_fsimage::{Image, Root, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what, image, folder] = words[..] else {
        return Err("usage: inventory decode|list IMAGE FOLDER".into());
    };
    let mut image = Image::open(Path::new(image), None)?;
    let begin = Instant::now();
    let inodes = match what {
        "decode" => decode(&mut image)?,
        "list" => list(&mut image, Path::new(folder), begin)?,
        _ => return Err("usage: inventory decode|list IMAGE FOLDER".into()),
    };
    println!("inodes {inodes}");
    println!("seconds {:.3}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn decode(image: &mut Image<File>) -> Result<u64, whimbrel_fsimage::Error> {
    let (mut inodes, mut all) = (0, image.inodes()?);
    while all.next()?.is_some() {
        inodes += 1;
    }
    Ok(inodes)
}

fn list(
    image: &mut Image<File>,
    folder: &Path,
    begin: Instant,
) -> Result<u64, whimbrel_fsimage::Error> {
    let settings = Settings { temporary_directory: folder.to_owned(), ..Settings::default() };
    let mut inventory = image.inventory(&Root::Path(b"/".to_vec()), &settings)?;
    println!("sorted_seconds {:.3}", begin.elapsed().as_secs_f64());
    // The root is in no directory.
    let mut inodes = 1;
    let mut pages = 0_u64;
    while let Some(page) = inventory.next_page()? {
        inodes += page.entries.len() as u64;
        pages += 1;
    }
    println!("pages {pages}");
    Ok(inodes)
}
