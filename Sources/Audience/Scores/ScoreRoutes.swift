internal import JSON
public import Web

public let scoreRoutes: [Route] = [
    .get(
        "/api/score-models", listScoreModels, needs: .readAudience, query: QueryParameter.paging, "One page of score models, newest first"),
    .post(
        "/api/score-models", createScoreModel, needs: .writeAudience, limit: .heavy, body: ScoreModelDraft.schema,
        "Have the likelihood of an event learned; the training runs in the background and every night"),
    .get("/api/score-models/{id}", readScoreModel, needs: .readAudience, "A score model, what it was trained on and how good it is"),
    .patch(
        "/api/score-models/{id}", changeScoreModel, needs: .writeAudience, limit: .heavy, body: ScoreModelChange.schema,
        "Change the members that are given"),
    .delete("/api/score-models/{id}", deleteScoreModel, needs: .writeAudience, "Delete a score model that no rule reads"),
    .post(
        "/api/score-models/{id}/train", trainScoreModel, needs: .writeAudience, limit: .heavy,
        "Train a model and score every contact, in the background"),
    .get("/api/rfm", readRFM, needs: .readAudience, "Buyers by how recently and how often they bought, with counts and mean value"),
    .put("/api/rfm", setRFM, needs: .writeAudience, body: RFMDraft.schema, "Say what counts as a purchase"),
    .delete("/api/rfm", deleteRFM, needs: .writeAudience, "Forget what counts as a purchase, and the groups, unless a rule reads them"),
    .post("/api/rfm/calculate", calculateRFM, needs: .writeAudience, limit: .heavy, "Calculate the groups, in the background"),
]
