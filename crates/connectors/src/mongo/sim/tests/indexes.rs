use mongodb::IndexModel;
use mongodb::options::IndexOptions;

use super::*;

fn unique(keys: Document) -> IndexModel {
    let options = IndexOptions::builder().unique(true).build();
    IndexModel::builder().keys(keys).options(options).build()
}

async fn create(scene: &Scene, description: Document) -> Result<Document, Error> {
    scene.run(doc! { "createIndexes": "things", "indexes": [description] }).await
}

#[tokio::test]
async fn indexes_are_made_listed_and_dropped() {
    let scene = scene(Options::default()).await;
    let things = scene.things();
    let made = things.create_index(unique(doc! { "user": 1, "month": -1 })).await.unwrap();
    assert_eq!(made.index_name, "user_1_month_-1");
    assert_eq!(things.list_index_names().await.unwrap(), ["_id_", "user_1_month_-1"]);
    let again = create(&scene, doc! { "key": { "b": 1 }, "name": "b_1" }).await.unwrap();
    assert_eq!((int(&again, "numIndexesBefore"), int(&again, "numIndexesAfter")), (2, 3));
    let again = create(&scene, doc! { "key": { "b": 1.0 }, "name": "b_1" }).await.unwrap();
    assert_eq!((int(&again, "numIndexesBefore"), int(&again, "numIndexesAfter")), (3, 3));
    let other_name = create(&scene, doc! { "key": { "b": 1 }, "name": "mine" }).await;
    assert_eq!(refusal(other_name).0, 85);
    let other_fields = create(&scene, doc! { "key": { "c": 1 }, "name": "b_1" }).await;
    assert_eq!(refusal(other_fields).0, 86);
    let other_options = doc! { "key": { "b": 1 }, "name": "b_1", "unique": true };
    assert_eq!(refusal(create(&scene, other_options).await).0, 86);
    let text = create(&scene, doc! { "key": { "name": "text" }, "name": "t" }).await;
    assert_eq!(refusal(text).0, 67);
    things.drop_index("b_1").await.unwrap();
    assert_eq!(refusal(things.drop_index("b_1").await).0, 27);
    assert_eq!(refusal(things.drop_index("_id_").await).0, 72);
    let nowhere = scene.run(doc! { "listIndexes": "nothing" }).await;
    assert_eq!(refusal(nowhere).0, 26);
    assert_eq!(scene.simulator.index_names(DATABASE, "things"), ["_id_", "user_1_month_-1"]);
}

#[tokio::test]
async fn unique_indexes_keep_out_what_is_there() {
    let scene = scene(Options::default()).await;
    let things = scene.things();
    things.create_index(unique(doc! { "user": 1, "month": -1 })).await.unwrap();
    let batch: Vec<Document> = [(1, "a"), (1, "b"), (1, "a"), (2, "a")]
        .iter()
        .enumerate()
        .map(|(n, (user, month))| doc! { "_id": n as i32, "user": user, "month": month })
        .collect();
    let reply = scene.run(doc! { "insert": "things", "documents": batch, "ordered": false });
    let reply = reply.await.unwrap();
    assert_eq!(reply.get_i32("n").unwrap(), 3);
    let error = reply.get_array("writeErrors").unwrap()[0].as_document().unwrap();
    assert_eq!(error.get_i32("index").unwrap(), 2);
    let pattern = doc! { "user": 1, "month": -1 };
    assert_eq!(error.get_document("keyPattern").unwrap(), &pattern);
    let values = doc! { "user": 1, "month": "a" };
    assert_eq!(error.get_document("keyValue").unwrap(), &values);
    let change = doc! { "q": { "_id": 3 }, "u": { "$set": { "user": 1 } } };
    let reply = scene.run(doc! { "update": "things", "updates": [change] }).await.unwrap();
    let error = reply.get_array("writeErrors").unwrap()[0].as_document().unwrap();
    assert_eq!(error.get_i32("code").unwrap(), 11_000);
    things.delete_one(doc! { "_id": 0 }).await.unwrap();
    things.update_one(doc! { "_id": 3 }, doc! { "$set": { "user": 1 } }).await.unwrap();
    let over_duplicates =
        create(&scene, doc! { "key": { "user": 1 }, "name": "u", "unique": true });
    assert_eq!(refusal(over_duplicates.await).0, 11_000);
    assert_eq!(scene.simulator.index_names(DATABASE, "things"), ["_id_", "user_1_month_-1"]);
}

#[tokio::test]
async fn sparse_and_partial_indexes_leave_documents_out() {
    let scene = scene(Options::default()).await;
    let token = doc! { "key": { "token": 1 }, "name": "t", "unique": true, "sparse": true };
    create(&scene, token).await.unwrap();
    let admin = doc! {
        "key": { "month": 1 }, "name": "m", "unique": true,
        "partialFilterExpression": { "admin": true },
    };
    create(&scene, admin).await.unwrap();
    let things = scene.things();
    for (id, document) in [
        doc! { "month": "a", "admin": false },
        doc! { "month": "a", "admin": false },
        doc! { "month": "a", "admin": true },
        doc! { "month": "b", "admin": true, "token": "x" },
    ]
    .into_iter()
    .enumerate()
    {
        let mut whole = doc! { "_id": id as i32 };
        whole.extend(document);
        things.insert_one(whole).await.unwrap();
    }
    let fails = |document: Document| async {
        let reply = scene.run(doc! { "insert": "things", "documents": [document] }).await.unwrap();
        reply.get_array("writeErrors").unwrap()[0].as_document().unwrap().get_i32("code").unwrap()
    };
    assert_eq!(fails(doc! { "token": "x" }).await, 11_000);
    assert_eq!(fails(doc! { "month": "b", "admin": true }).await, 11_000);
    assert_eq!(scene.simulator.len(DATABASE, "things"), 4);
    // A sparse index doesn't hide the documents that it leaves out.
    assert_eq!(things.count_documents(doc! { "token": null }).await.unwrap(), 3);
}

#[tokio::test]
async fn explain_says_which_index_is_used() {
    let scene = scene(Options::default()).await;
    scene.fill(0..30);
    create(&scene, doc! { "key": { "n": 1, "m": -1 }, "name": "n" }).await.unwrap();
    let plan = |find: Document| async {
        let command = doc! { "explain": find, "verbosity": "queryPlanner" };
        let reply = scene.run(command).await.unwrap();
        let planner = reply.get_document("queryPlanner").unwrap();
        planner.get_document("winningPlan").unwrap().clone()
    };
    let stages = |plan: &Document| {
        let mut stages = Vec::new();
        let mut stage = Some(plan);
        while let Some(own) = stage {
            stages.push(own.get_str("stage").unwrap().to_owned());
            stage = own.get_document("inputStage").ok();
        }
        stages.join(" ")
    };
    let find = |filter: Document| doc! { "find": "things", "filter": filter };
    assert_eq!(stages(&plan(find(doc! { "_id": 1 })).await), "IDHACK");
    assert_eq!(stages(&plan(find(doc! { "_id": { "$gt": 1 } })).await), "FETCH IXSCAN");
    assert_eq!(stages(&plan(find(doc! { "other": 1 })).await), "COLLSCAN");
    assert_eq!(stages(&plan(find(doc! { "m": 1 })).await), "COLLSCAN");
    let used = plan(find(doc! { "n": 1, "other": 2 })).await;
    let input = used.get_document("inputStage").unwrap();
    assert_eq!(input.get_str("indexName").unwrap(), "n");
    let sorted = doc! { "find": "things", "filter": {}, "sort": { "n": -1, "m": 1 } };
    let used = plan(sorted).await;
    assert_eq!(used.get_document("inputStage").unwrap().get_str("direction").unwrap(), "backward");
    let unsorted = doc! { "find": "things", "filter": {}, "sort": { "m": 1 } };
    assert_eq!(stages(&plan(unsorted).await), "SORT COLLSCAN");
    assert_eq!(stages(&plan(doc! { "find": "nothing", "filter": {} }).await), "EOF");
}

#[tokio::test]
async fn an_index_finds_what_a_look_at_everything_finds() {
    let with = scene(Options::default()).await;
    let without = scene(Options::default()).await;
    let values: Vec<Bson> = vec![
        1.into(),
        2.5.into(),
        Bson::Null,
        "a".into(),
        "b".into(),
        Bson::Array(vec![1.into(), 5.into()]),
        Bson::Array(vec![]),
        true.into(),
        doc! { "x": 1 }.into(),
    ];
    let mut documents: Vec<RawDocumentBuf> = (0..90)
        .map(|n: usize| raw(&doc! { "_id": n as i32, "v": &values[n % 9], "w": (n / 9) as i32 }))
        .collect();
    documents.push(raw(&doc! { "_id": 90 }));
    for place in [&with, &without] {
        place.simulator.insert(DATABASE, "things", documents.clone()).unwrap();
    }
    for (name, key) in [("up", doc! { "v": 1, "w": -1 }), ("down", doc! { "w": -1 })] {
        create(&with, doc! { "key": key, "name": name }).await.unwrap();
    }
    for filter in [
        doc! { "v": 1 },
        doc! { "v": null },
        doc! { "v": { "$gt": 0 } },
        doc! { "v": { "$gte": 1, "$lt": 3 } },
        doc! { "v": { "$in": [5, "a", null] } },
        doc! { "v": { "$lte": "a" } },
        doc! { "v": [1, 5] },
        doc! { "v": { "$exists": false } },
        doc! { "w": { "$gt": 2, "$lte": 5 } },
        doc! { "w": { "$gte": 8 }, "v": { "$ne": 1 } },
        doc! { "w": { "$lt": 2 } },
        doc! { "w": null },
    ] {
        for sort in [doc! {}, doc! { "w": 1 }, doc! { "w": -1, "_id": 1 }, doc! { "v": 1 }] {
            let ids = |place: &Scene| {
                let (things, filter, sort) = (place.things(), filter.clone(), sort.clone());
                async move {
                    use futures_util::TryStreamExt;
                    let found = things.find(filter).sort(sort).await;
                    let all: Vec<Document> = found.unwrap().try_collect().await.unwrap();
                    let mut ids: Vec<i32> =
                        all.iter().map(|it| it.get_i32("_id").unwrap()).collect();
                    let weights: Vec<Option<i32>> =
                        all.iter().map(|it| it.get_i32("w").ok()).collect();
                    ids.sort_unstable();
                    (ids, weights)
                }
            };
            let (found, expected) = (ids(&with).await, ids(&without).await);
            assert_eq!(found.0, expected.0, "{filter} {sort}");
            if sort.contains_key("w") {
                assert_eq!(found.1, expected.1, "{filter} {sort}");
            }
        }
    }
}

#[tokio::test]
async fn collections_and_databases_are_listed_and_dropped() {
    let scene = scene(Options::default()).await;
    let database = scene.client.database(DATABASE);
    database.create_collection("b").await.unwrap();
    assert_eq!(refusal(database.create_collection("b").await).0, 48);
    scene.fill(0..3);
    assert_eq!(database.list_collection_names().await.unwrap(), ["b", "things"]);
    assert_eq!(scene.client.list_database_names().await.unwrap(), [DATABASE]);
    let rename = |drop: bool| {
        scene.admin(doc! { "renameCollection": "shop.things", "to": "shop.b", "dropTarget": drop })
    };
    assert_eq!(refusal(rename(false).await).0, 48);
    rename(true).await.unwrap();
    assert_eq!(scene.simulator.len(DATABASE, "b"), 3);
    database.drop().await.unwrap();
    assert!(scene.simulator.is_empty());
    assert_eq!(database.list_collection_names().await.unwrap(), Vec::<String>::new());
    assert_eq!(refusal(scene.run(doc! { "dance": 1 }).await).0, 59);
}
