use futures_util::TryStreamExt;
use proptest::prelude::*;

use super::filter::Filter;
use super::projection::Projection;
use super::update::Update;
use super::*;

fn matches(filter: Document, document: Document) -> bool {
    Filter::read(&raw(&filter)).unwrap().matches(&raw(&document))
}

#[test]
fn filters_select_as_documented() {
    let rows = doc! { "rows": [{ "a": 1, "b": 5 }, { "a": 2, "b": 6 }], "n": 3, "t": "Anna" };
    let yes = [
        doc! {},
        doc! { "n": 3_i64 },
        doc! { "n": { "$in": [1, 3.0] } },
        doc! { "n": { "$nin": [1, 2] } },
        doc! { "n": { "$gt": 2, "$lte": 3 } },
        doc! { "n": { "$ne": 4 } },
        doc! { "x": null },
        doc! { "x": { "$exists": false } },
        doc! { "x": { "$in": [null] } },
        doc! { "x": { "$not": { "$gt": 0 } } },
        doc! { "rows.a": 2 },
        doc! { "rows.1.a": 2 },
        doc! { "rows.a": { "$gt": 1 } },
        doc! { "rows": { "$size": 2 } },
        doc! { "rows": { "a": 1, "b": 5 } },
        doc! { "rows": { "$elemMatch": { "a": 1, "b": 5 } } },
        doc! { "$or": [{ "n": 1 }, { "t": "Anna" }] },
        doc! { "$and": [{ "n": 3 }, { "rows.b": 6 }] },
        doc! { "$nor": [{ "n": 1 }, { "t": "anna" }] },
        doc! { "t": { "$regex": "^an", "$options": "i" } },
        doc! { "n": { "$type": "number" } },
        doc! { "n": { "$type": 16 } },
        doc! { "rows": { "$type": ["string", "array"] } },
        doc! { "$expr": { "$eq": ["$n", 3] } },
    ];
    for filter in yes {
        assert!(matches(filter.clone(), rows.clone()), "{filter}");
    }
    let no = [
        doc! { "n": "3" },
        doc! { "n": { "$gt": "" } },
        doc! { "n": null },
        doc! { "x": { "$gt": 0 } },
        doc! { "x": { "$exists": true } },
        doc! { "x": { "$type": "null" } },
        doc! { "rows.a": { "$ne": 2 } },
        doc! { "rows": { "$elemMatch": { "a": 1, "b": 6 } } },
        doc! { "rows": { "b": 5, "a": 1 } },
        doc! { "t": { "$regex": "^an" } },
        doc! { "$expr": { "$gt": ["$n", "$rows"] } },
    ];
    for filter in no {
        assert!(!matches(filter.clone(), rows.clone()), "{filter}");
    }
    for bad in [doc! { "$where": 1 }, doc! { "a": { "$near": 1 } }, doc! { "$or": [] }] {
        assert_eq!(Filter::read(&raw(&bad)).unwrap_err().code, 2, "{bad}");
    }
}

fn updated(old: Document, update: Document) -> Result<Option<Document>, i32> {
    let update = raw(&doc! { "u": update });
    let read = Update::read(update.get("u").unwrap().unwrap()).map_err(|error| error.code)?;
    let new = read.apply(&raw(&old)).map_err(|error| error.code)?;
    Ok(new.map(|it| Document::try_from(it).unwrap()))
}

#[test]
fn operators_change_documents_as_documented() {
    let old = || doc! { "_id": 1, "n": 2, "l": [1, 2], "d": { "a": 1 } };
    let with = |name: &str, value: Bson| {
        let mut new = old();
        new.insert(name, value);
        Ok(Some(new))
    };
    let set = |operator: &str, name: &str, value: Bson| {
        updated(old(), doc! { operator: { name: value } })
    };
    assert_eq!(set("$set", "n", 3.into()), with("n", 3.into()));
    assert_eq!(set("$set", "n", 2.into()), Ok(None));
    assert_eq!(set("$set", "d.b", 2.into()), with("d", doc! { "a": 1, "b": 2 }.into()));
    assert_eq!(set("$set", "l.1", 9.into()), with("l", vec![1, 9].into()));
    assert_eq!(set("$set", "e.f", 9.into()), with("e", doc! { "f": 9 }.into()));
    assert_eq!(set("$unset", "d.a", "".into()), with("d", doc! {}.into()));
    assert_eq!(set("$unset", "x", "".into()), Ok(None));
    assert_eq!(set("$inc", "n", 5.into()), with("n", 7.into()));
    assert_eq!(set("$inc", "n", 0.5.into()), with("n", 2.5.into()));
    assert_eq!(set("$inc", "n", i32::MAX.into()), with("n", 2_147_483_649_i64.into()));
    assert_eq!(set("$inc", "m", 5_i64.into()), with("m", 5_i64.into()));
    assert_eq!(set("$inc", "l", 1.into()), Err(14));
    assert_eq!(set("$mul", "n", 3.into()), with("n", 6.into()));
    assert_eq!(set("$push", "l", 2.into()), with("l", vec![1, 2, 2].into()));
    let many = doc! { "$each": [3, 4], "$slice": -3 };
    assert_eq!(set("$push", "l", many.into()), with("l", vec![2, 3, 4].into()));
    assert_eq!(set("$push", "n", 2.into()), Err(2));
    assert_eq!(set("$addToSet", "l", 2.0.into()), Ok(None));
    assert_eq!(set("$addToSet", "l", 3.into()), with("l", vec![1, 2, 3].into()));
    assert_eq!(set("$pull", "l", 2.into()), with("l", vec![1].into()));
    assert_eq!(set("$pull", "l", doc! { "$gte": 1 }.into()), with("l", Bson::Array(vec![])));
    assert_eq!(set("$min", "n", 1.into()), with("n", 1.into()));
    assert_eq!(set("$min", "n", 3.into()), Ok(None));
    assert_eq!(set("$max", "n", 3.into()), with("n", 3.into()));
    assert_eq!(set("$setOnInsert", "n", 3.into()), Ok(None));
    assert_eq!(set("$set", "_id", 3.into()), Err(66));
    assert_eq!(set("$set", "n.x", 3.into()), Err(28));
    assert_eq!(set("$dance", "n", 3.into()), Err(9));
    assert_eq!(updated(old(), doc! { "$set": { "d": 1 }, "$inc": { "d.a": 1 } }), Err(40));
    assert_eq!(updated(old(), doc! { "x": 1 }), Ok(Some(doc! { "_id": 1, "x": 1 })));
    assert_eq!(updated(old(), doc! { "_id": 2, "x": 1 }), Err(66));
    let rows = doc! { "_id": 1, "r": [{ "a": 1 }, { "a": 2 }, 3] };
    let pulled = updated(rows, doc! { "$pull": { "r": { "a": { "$gt": 1 } } } });
    assert_eq!(pulled, Ok(Some(doc! { "_id": 1, "r": [{ "a": 1 }, 3] })));
}

#[test]
fn projections_show_and_hide() {
    let document =
        raw(&doc! { "_id": 1, "a": { "b": 1, "c": 2 }, "l": [{ "x": 1, "y": 2 }], "z": 3 });
    let shown = |projection: Document| {
        let read = Projection::read(&raw(&projection)).unwrap().unwrap();
        Document::try_from(read.apply(&document)).unwrap()
    };
    assert_eq!(shown(doc! { "_id": 1 }), doc! { "_id": 1 });
    assert_eq!(shown(doc! { "z": true }), doc! { "_id": 1, "z": 3 });
    assert_eq!(
        shown(doc! { "a.c": 1, "l.x": 1, "_id": 0 }),
        doc! { "a": { "c": 2 }, "l": [{ "x": 1 }] }
    );
    assert_eq!(shown(doc! { "_id": 0, "a": 0, "l.y": 0 }), doc! { "l": [{ "x": 1 }], "z": 3 });
    assert_eq!(shown(doc! { "n": "$a.b" }), doc! { "_id": 1, "n": 1 });
    let both = Projection::read(&raw(&doc! { "a": 1, "z": 0 })).unwrap_err();
    assert_eq!(both.code, 31_254);
}

#[tokio::test]
async fn pipelines_group_count_and_sample() {
    let scene = scene(Options::default()).await;
    scene.fill(0..100);
    let all = |pipeline: Vec<Document>| {
        let things = scene.things();
        async move {
            let cursor = things.aggregate(pipeline).await.unwrap();
            cursor.try_collect::<Vec<Document>>().await.unwrap()
        }
    };
    let group = doc! {
        "_id": "$n", "all": { "$push": "$_id" }, "sum": { "$sum": "$_id" },
        "first": { "$first": "$_id" },
        "max": { "$max": "$_id" }, "min": { "$min": "$_id" }, "count": { "$count": {} },
    };
    let found = all(vec![
        doc! { "$match": { "_id": { "$lt": 30 } } },
        doc! { "$group": group },
        doc! { "$sort": { "_id": -1 } },
        doc! { "$skip": 1 },
        doc! { "$limit": 1 },
    ]);
    let expected = doc! {
        "_id": 8, "all": [8, 18, 28], "sum": 54, "first": 8, "max": 28, "min": 8, "count": 3,
    };
    assert_eq!(found.await, [expected]);
    assert_eq!(all(vec![doc! { "$count": "c" }]).await, [doc! { "c": 100 }]);
    let sample =
        all(vec![doc! { "$sample": { "size": 7 } }, doc! { "$project": { "n": 1 } }]).await;
    assert_eq!(sample.len(), 7);
    let mut distinct = scene.things().distinct("n", doc! { "_id": { "$gte": 95 } }).await.unwrap();
    distinct.sort_by_key(|it| it.as_i32());
    assert_eq!(distinct, [5, 6, 7, 8, 9].map(Bson::Int32));
    let unknown = scene.things().aggregate([doc! { "$dance": {} }]).await;
    assert_eq!(refusal(unknown.map(|_| ())).0, 40_324);
}

proptest! {
    #[test]
    fn a_range_of_ids_is_what_the_filter_says(
        ids in prop::collection::btree_set(-50..50_i32, 0..40),
        low in -60..60_i32,
        high in -60..60_i32,
    ) {
        let simulator = MongoSim::new(Options::default()).unwrap();
        let documents = ids.iter().map(|id| raw(&doc! { "_id": id }));
        simulator.insert("d", "c", documents).unwrap();
        let filter = doc! { "_id": { "$gte": low, "$lt": high } };
        let filter = Filter::read(&raw(&filter)).unwrap();
        let found = simulator.with_world(|world| {
            world.collections.get("d.c").map_or(Vec::new(), |it| {
                it.select(&filter, &sort::Sort::default(), 0, None)
            })
        });
        let found: Vec<i32> = found.iter().map(|it| it.get_i32("_id").unwrap()).collect();
        let wanted: Vec<i32> =
            ids.into_iter().filter(|id| (low..high).contains(id)).collect();
        prop_assert_eq!(found, wanted);
    }
}
