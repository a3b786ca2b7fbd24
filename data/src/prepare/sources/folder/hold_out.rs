//! What is kept from the training images: a test part where there is none, validation images where they
//! are asked for, and what a long-tailed selection leaves out.

use lcsl_text::counted;

use super::plan::first;
use crate::prepare::error::PrepareError;
use crate::prepare::plan::{Item, PlannedSplit, PreparePlan};
use crate::prepare::request::PrepareRequest;
use crate::profile;
use crate::random::{Purpose, Stream};
use crate::split::{self, SelectionOrder};

/// Share of each class that is held out to test on, where a dataset comes without test images and
/// nothing else is asked for.
pub const TEST_SHARE: f64 = 0.2;

/// Sees to it that there are test images, and that nobody takes validation images for them. Images of
/// `val/` are the test images of a dataset that has no others, as `ImageNet`'s are.
pub(super) fn test_part(
    plan: &mut PreparePlan,
    request: &PrepareRequest,
) -> Result<(), PrepareError> {
    let root = request.root.display();
    let usage = |what: String, hint: &str| Err(PrepareError::Usage { what, hint: hint.to_owned() });
    let has = |name: &str| plan.splits.iter().position(|part| part.name == name);
    if has("test").is_some() {
        return match request.test_share {
            Some(_) => usage(format!("{root} has test images already"), "leave --test_share out"),
            None => Ok(()),
        };
    }
    match (has("val"), request.test_share) {
        (Some(val), None) => {
            plan.splits[val].name = "test";
            plan.notes.push(
                "there is no test split: the images of the validation split are those to test on \
                 (--test_share holds others out from training, and leaves them for validation)"
                    .to_owned(),
            );
        }
        (val, Some(share)) if share <= 0.0 => {
            if val.is_some() || request.val_per_class > 0 {
                return usage(
                    "without test images, those for validation would be tested on".to_owned(),
                    "leave --test_share out, or choose a share above 0",
                );
            }
            let what = "no test images are held out: `lcsl train` cannot use the result";
            plan.warnings.push(what.to_owned());
        }
        (_, share) => hold_out_test(plan, request.seed, share),
    }
    Ok(())
}

fn hold_out_test(plan: &mut PreparePlan, seed: u64, asked: Option<f64>) {
    let share = asked.unwrap_or(TEST_SHARE);
    let train = std::mem::take(&mut plan.splits[0].items);
    let mut classes: Vec<Vec<usize>> = vec![Vec::new(); plan.class_names.len()];
    for (place, item) in train.iter().enumerate() {
        classes[item.label as usize].push(place);
    }
    let mut is_test = vec![false; train.len()];
    for (class, mut places) in classes.iter().cloned().enumerate() {
        Stream::new(seed, Purpose::Storage, 1, class as u64, 0).shuffle(&mut places);
        for place in &places[..test_images(places.len(), share)] {
            is_test[*place] = true;
        }
    }
    let (test, train): (Vec<_>, Vec<_>) =
        train.into_iter().zip(is_test).partition(|(_, is_test)| *is_test);
    let items = |part: Vec<(Item, bool)>| part.into_iter().map(|(item, _)| item).collect();
    plan.splits[0].items = items(train);
    let others = if asked.is_some() { "" } else { "; another share: --test_share" };
    plan.notes.push(format!(
        "there is no test split: {}, {} % of each class, are held out from training to test on (seed \
         {seed}{others})",
        counted(test.len() as u64, "image"),
        share * 100.0
    ));
    // Named, since a score without them looks like one of all classes.
    let single = |(class, places): (usize, &Vec<usize>)| {
        (places.len() == 1).then(|| plan.class_names[class].as_str())
    };
    let single: Vec<&str> = classes.iter().enumerate().filter_map(single).collect();
    if !single.is_empty() {
        plan.warnings.push(format!(
            "{} with a single image cannot be tested: {}",
            counted(single.len() as u64, "class"),
            first(&single)
        ));
    }
    if test.is_empty() {
        let what = "no class has an image to spare to test on: `lcsl train` cannot use the result";
        plan.warnings.push(what.to_owned());
    } else {
        plan.splits.push(PlannedSplit { name: "test", items: items(test) });
    }
}

/// Images of a class of `images` that are held out to test on: at least one, and never the last one to
/// train on.
fn test_images(images: usize, share: f64) -> usize {
    match images {
        0 | 1 => 0,
        _ => ((images as f64 * share).round() as usize).clamp(1, images - 1),
    }
}

/// Cuts the long-tailed training set, and what is held out for validation, from the training images.
pub(super) fn select(plan: &mut PreparePlan, request: &PrepareRequest) -> Result<(), PrepareError> {
    let hold_out = request.val_per_class;
    if request.imb_factor.is_none() && hold_out == 0 {
        return Ok(());
    }
    let has_val = plan.splits.iter().any(|part| part.name == "val");
    if hold_out > 0 && has_val {
        return Err(PrepareError::Usage {
            what: format!("{} has validation images already", request.root.display()),
            hint: "leave --val_per_class out".to_owned(),
        });
    }
    let train = std::mem::take(&mut plan.splits[0].items);
    let labels: Vec<u32> = train.iter().map(|item| item.label).collect();
    let classes = plan.class_names.len();
    let mut targets = vec![0_u64; classes];
    for &label in &labels {
        targets[label as usize] += 1;
    }
    if let Some(factor) = request.imb_factor {
        let largest = targets.iter().copied().max().unwrap_or(0);
        let profile = profile::counts(profile::ProfileShape::Exponential, classes, largest, factor);
        targets = targets.into_iter().zip(profile).map(|(has, wants)| has.min(wants)).collect();
    }
    let order = SelectionOrder::Seeded(request.seed);
    let wanted = split::SplitRequest {
        targets,
        validation_per_class: hold_out,
        left: split::LeftOver::Unused,
        order,
    };
    let split = split::split(&labels, classes, &wanted).expect("no target is above its count");
    if let Some(class) = split.train_counts.iter().position(|&count| count == 0) {
        return Err(PrepareError::Usage {
            what: format!("class {class} ({}) would keep no image", plan.class_names[class]),
            hint: "choose an --imb_factor nearer to 1".to_owned(),
        });
    }
    let take = |chosen: &[u32]| chosen.iter().map(|&i| train[i as usize].clone()).collect();
    plan.splits[0].items = take(&split.train);
    if hold_out > 0 {
        plan.splits.insert(1, PlannedSplit { name: "val", items: take(&split.validation) });
    }
    Ok(())
}

/// What `lcsl train` will use which part for.
pub(super) fn use_of_parts(plan: &PreparePlan) -> String {
    let part = |name: &str| plan.splits.iter().find(|part| part.name == name);
    let images = |part: &PlannedSplit| {
        format!("{} ({})", part.name, counted(part.items.len() as u64, "image"))
    };
    let selects = part("val").map_or_else(
        || "images that each run holds out from train".to_owned(),
        |val| images(val).clone(),
    );
    let trains = images(&plan.splits[0]);
    let tests = part("test").map_or_else(|| "nothing".to_owned(), images);
    format!("`lcsl train` will train on {trains}, select on {selects} and test on {tests}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_gives_its_share_but_never_all() {
        let of = |images| test_images(images, TEST_SHARE);
        assert_eq!([0, 1, 2, 3, 7, 8, 100].map(of), [0, 0, 1, 1, 1, 2, 20]);
        assert_eq!([2, 3, 10].map(|images| test_images(images, 0.99)), [1, 2, 9]);
    }
}
