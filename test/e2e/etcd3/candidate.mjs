/** A campaign as a process of its own, so that it can be killed: node candidate.mjs HOSTS NAME VALUE TTL */
import { Etcd3 } from "etcd3";

const [hosts = "", name = "", value = "", ttl = ""] = process.argv.slice(2);
const campaign = new Etcd3({ hosts: hosts.split(",") }).election(name, Number(ttl)).campaign(value);
campaign.on("error", (error) => {
  console.log(`error: ${error.message}`);
  process.exit(1);
});
campaign.on("elected", () => console.log("elected"));
console.log(`campaigning as ${await campaign.getCampaignKey()}`);
