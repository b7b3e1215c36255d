import Web

serve("webhooks", [])
