public import Web

public let usageRoutes: [Route] = [
    .get(
        "/api/usage", readUsage, needs: .readCampaigns, limit: .heavy,
        "What campaigns have started in this calendar month of the workspace's time zone, with the limits that there are")
]
