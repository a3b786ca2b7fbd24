//! iNaturalist 2018 from its json files.

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::PrepareRequest;
use tempfile::{TempDir, tempdir};

use crate::stage::{jpeg, put, refusal, request, run};

fn stage() -> (TempDir, PrepareRequest) {
    let folder = tempdir().unwrap();
    let request =
        request(DatasetId::Inaturalist2018, &folder.path().join("in"), &folder.path().join("out"));
    let categories = r#"[{"id": 1, "name": "Parus major", "kingdom": "Animalia"},
        {"id": 0, "name": "Quercus robur"}]"#;
    let mut number = 0;
    for (file, count) in [("train2018.json", 5), ("val2018.json", 2)] {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for id in 1..=count {
            number += 1;
            let name = format!("train_val2018/Aves/{id}/{number}.jpg");
            put(&request.root.join(&name), jpeg(number));
            images.push(format!(r#"{{"id": {id}, "file_name": "{name}", "width": 800}}"#));
            let class = id % 2;
            annotations.push(format!(r#"{{"id": 9, "image_id": {id}, "category_id": {class}}}"#));
        }
        let json = format!(
            r#"{{"info": {{"year": 2018}}, "images": [{}], "annotations": [{}],
            "categories": {categories}}}"#,
            images.join(","),
            annotations.join(",")
        );
        put(&request.root.join(file), json);
    }
    (folder, request)
}

#[test]
fn labels_come_from_the_annotations_and_names_from_the_categories() {
    let (_folder, request) = stage();
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.class_names, ["Quercus robur", "Parus major"]);
    let parts: Vec<_> =
        manifest.parts.iter().map(|part| (part.name.as_str(), part.counts.as_slice())).collect();
    assert_eq!(parts, [("train", [2, 3].as_slice()), ("test", &[1, 1])]);
    assert_eq!(manifest.warnings.len(), 3, "sizes and classes: {:?}", manifest.warnings);
}

#[test]
fn json_that_does_not_fit_is_refused() {
    let (_folder, request) = stage();
    let path = request.root.join("train2018.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace(r#""image_id": 1, "category_id": 1"#, r#""image_id": 1, "category_id": 2"#)
        .replace(r#""image_id": 2,"#, r#""image_id": 77,"#)
        .replace("Aves/3/", "../../etc/");
    put(&path, &text);
    let mut said = refusal(&request);
    put(&path, &text[..text.len() / 2]);
    said += "\n\n";
    said += &refusal(&request);
    std::fs::remove_file(path).unwrap();
    said += "\n\n";
    said += &refusal(&request);
    insta::assert_snapshot!(said);
}
